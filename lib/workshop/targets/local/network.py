"""The network of a single machine: loopback is the border, and every port of a part is tried."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Mapping

import psutil

from workshop.core.progress import Stages
from workshop.targets import network
from workshop.targets.base import Endpoint, Route
from workshop.targets.local import ports as local_ports
from workshop.targets.local.process import Record

HERE, ELSEWHERE = "this machine", "another machine"


class Loopback:
    """Parts listen on loopback alone, and no other machine reaches that.

    Args:
        running: Gives the parts that run, with their ports.
    """

    def __init__(self, running: Callable[[], Mapping[str, Record]]) -> None:
        self._running = running

    def declared(self) -> network.Matrix:
        """This machine may, another may not."""
        return declared(self._running())

    def isolate(self, _yours: Mapping[str, Endpoint], *, stage: Stages) -> list[str]:
        """Nothing is applied."""
        stage("loopback is the border here: there is nothing to apply")
        return []

    def tried(self, *, stage: Stages) -> network.Matrix:
        """Every port of every part, from here and as another machine would."""
        running = self._running()
        stage(f"trying the ports of {len(running)} parts")
        return tried(running)

    def routes(self) -> list[Route]:
        """None: nothing is reached from outside."""
        return []


def declared(running: Mapping[str, Record]) -> network.Matrix:
    """This machine may reach every part, and another none."""
    return network.Matrix(
        [
            network.Tried(who, name, port, who == HERE, "open" if who == HERE else "-")
            for name, record in running.items()
            for port in sorted(record.ports.values())
            for who in (HERE, ELSEWHERE)
        ]
    )


def tried(running: Mapping[str, Record]) -> network.Matrix:
    """Every port on which a part listens, tried from here, and as another machine would.

    Another machine reaches this one by an address of its network. A connection from here to that
    address is refused by the same rule: a socket on loopback takes none.
    """
    addresses = _own_addresses()
    found = []
    for name, record in running.items():
        sockets = local_ports.sockets(record.pid) or set()
        ports = {port for _, port in sockets} | set(record.ports.values())
        for port in sorted(ports):
            wide = any(at == port and not _is_loopback(ip) for ip, at in sockets)
            outside = "open" if wide else "refused"
            if any(_connect(ip, port) == "open" for ip in addresses):
                outside = "open"
            here = _connect(local_ports.LOOPBACK, port)
            found.append(network.Tried(HERE, name, port, True, here))
            found.append(network.Tried(ELSEWHERE, name, port, False, outside))
    remark = f"as another machine: by {', '.join(addresses)}" if addresses else NO_NETWORK
    return network.Matrix(found, remark)


NO_NETWORK = "this machine has no address but loopback's: what it listens on was read, not tried"


def _own_addresses() -> list[str]:
    """This machine's addresses in its networks, of version 4 and 6, link-local ones left out."""
    found = []
    for interface in psutil.net_if_addrs().values():
        for one in interface:
            if one.family in (socket.AF_INET, socket.AF_INET6):
                address = ipaddress.ip_address(one.address.partition("%")[0])
                if not address.is_loopback and not address.is_link_local:
                    found.append(str(address))
    return sorted(found)


def _connect(ip: str, port: int) -> str:
    try:
        with socket.create_connection((ip, port), timeout=2):
            return "open"
    except TimeoutError:
        return "timeout"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return error.strerror or type(error).__name__


def _is_loopback(ip: str) -> bool:
    # Milvus Lite takes its loopback port as an IPv6 one: ::ffff:127.0.0.1.
    return ipaddress.ip_address(ip.removeprefix("::ffff:")).is_loopback
