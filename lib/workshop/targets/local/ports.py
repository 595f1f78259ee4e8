"""Ports of this machine: which are free, who holds the others, and who reaches those of parts."""

import errno
import functools
import ipaddress
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from workshop.core.errors import WorkshopError
from workshop.core.progress import Stages
from workshop.targets.base import Endpoint, Route
from workshop.targets.local.process import Record
from workshop.targets.network import Matrix, Tried

LOOPBACK = "127.0.0.1"

REACH = 200  # How many ports are tried: a free one is near, or something is wrong with the machine.


def sockets(pid: int) -> set[tuple[str, int]] | None:
    """Address and port of every TCP socket on which this process, or one that it started, listens.

    None where the system does not let this user see who listens.
    """
    if not _can_tell():
        return None
    found: set[tuple[str, int]] = set()
    try:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                own = _listening(one.net_connections("tcp"))
                found |= {(at.laddr.ip, at.laddr.port) for at in own}
    except psutil.NoSuchProcess:
        return set()
    except psutil.AccessDenied:
        return None
    return found


def listens(pid: int, port: int) -> bool:
    """Whether this process, or one that it started, listens there; True where it cannot be seen."""
    found = sockets(pid)
    return found is None or any(at == port for _, at in found)


def accepts(port: int) -> bool:
    """Whether a connection is accepted. Binds nothing: a part may be about to take the port."""
    with socket.socket() as client:
        client.settimeout(0.5)
        if client.connect_ex((LOOPBACK, port)) != 0:
            return False
        # TCP lets a socket meet itself when the system gives it this very port to call from.
        return bool(client.getsockname() != client.getpeername())


def _listening(connections: Iterable[Any]) -> Iterator[Any]:
    return (one for one in connections if one.status == psutil.CONN_LISTEN and one.laddr)


@functools.cache
def _can_tell() -> bool:
    """Whether this system shows a process's sockets: some sandboxes do not."""
    with socket.create_server((LOOPBACK, 0)) as server, suppress(OSError, psutil.Error):
        own = _listening(psutil.Process().net_connections("tcp"))
        return any(one.laddr.port == server.getsockname()[1] for one in own)
    return False


def free_port(wanted: int, taken: Collection[int] = ()) -> int:
    """The wanted port, or the next one that nobody listens on, and that is not ``taken``.

    Raises ``WorkshopError`` where none of the ``REACH`` ports from ``wanted`` on is free.
    """
    last = min(wanted + REACH - 1, 65535)
    for port in range(wanted, last + 1):
        if port not in taken and is_free(port):
            return port
    raise WorkshopError(
        f"No port from {wanted} to {last} is free.",
        where=LOOPBACK,
        state=f"port {wanted}: {holder(wanted)}",
        hint="end a program that listens there, or ask for another port",
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address now."""
    with socket.socket() as server:
        # As servers do, each with one or the other (llama.cpp's with SO_REUSEPORT alone): without
        # them, connections of a server that has just ended would make its port look taken for a
        # minute. No listen(): beside a server with SO_REUSEPORT it would take calls from it.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            server.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    # BSD and macOS let a server take one address of a port that another holds on all addresses; the
    # one on all addresses then still answers.
    return not accepts(port)


def holder(port: int) -> str:
    """Who listens on the port, such as ``python3 (pid 123)``, as far as this user may see."""
    pid = next((pid for pid, held in _listeners() if held == port and pid), None)
    if pid is not None:
        try:
            process = psutil.Process(pid)
            # Node calls itself "MainThread": the command line names the program.
            command = process.cmdline()
            return f"{Path(command[0]).name if command else process.name()} (pid {pid})"
        except psutil.NoSuchProcess:
            return f"a program that has just ended (pid {pid})"
        except psutil.AccessDenied:
            return f"another user's program (pid {pid})"
    return "nobody" if is_free(port) else "another user's program"


def _listeners() -> Iterator[tuple[int | None, int]]:
    """Process and port of each listening TCP socket that this user may see."""
    try:
        found = psutil.net_connections("tcp")
        yield from ((one.pid, one.laddr.port) for one in _listening(found))
    except psutil.AccessDenied:
        # macOS shows the whole list to root alone; a user sees what is their own.
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                own = process.net_connections("tcp")
                yield from ((process.pid, one.laddr.port) for one in _listening(own))


# --- as others reach it --------------------------------------------------------------------------

HERE, ELSEWHERE = "this machine", "another machine"

NO_NETWORK = "this machine has no address but loopback's: what it listens on was read, not tried"


class Loopback:
    """The network of a single machine: parts listen on loopback alone, which no other reaches."""

    def __init__(self, running: Callable[[], Mapping[str, Record]]) -> None:
        self._running = running

    def declared(self) -> Matrix:
        """This machine may reach every part, and another none."""
        return Matrix(
            [
                Tried(who, name, port, who == HERE, "open" if who == HERE else "-")
                for name, record in self._running().items()
                for port in sorted(record.ports.values())
                for who in (HERE, ELSEWHERE)
            ]
        )

    def isolate(self, _yours: Mapping[str, Endpoint], *, stage: Stages) -> list[str]:
        """Nothing is applied."""
        stage("loopback is the border here: there is nothing to apply")
        return []

    def tried(self, *, stage: Stages) -> Matrix:
        """Every port on which a part listens, tried from here, and as another machine would.

        Another machine reaches this one by an address of its network. A connection from here to
        that address is refused by the same rule: a socket on loopback takes none.
        """
        running, addresses = self._running(), _own_addresses()
        stage(f"trying the ports of {len(running)} parts")
        found = []
        for name, record in running.items():
            held = sockets(record.pid) or set()
            for port in sorted({port for _, port in held} | set(record.ports.values())):
                is_wide = any(at == port and not _is_loopback(ip) for ip, at in held)
                is_open = is_wide or any(_connect(ip, port) == "open" for ip in addresses)
                found += [
                    Tried(HERE, name, port, True, _connect(LOOPBACK, port)),
                    Tried(ELSEWHERE, name, port, False, "open" if is_open else "refused"),
                ]
        remark = f"as another machine: by {', '.join(addresses)}" if addresses else NO_NETWORK
        return Matrix(found, remark)

    def routes(self) -> list[Route]:
        """None: nothing is reached from outside."""
        return []


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
