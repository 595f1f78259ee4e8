"""Ports on this machine's loopback: which are free, and who holds the others."""

from __future__ import annotations

import errno
import functools
import socket
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from workshop.core.errors import WorkshopError

LOOPBACK = "127.0.0.1"

REACH = 200
"""How many ports are tried: a free one is near, or something is wrong with the machine."""


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
    """Whether this process, or one that it started, listens on the port.

    True as well where the system does not let this user see who listens.
    """
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
    """The wanted port, or the next one that nobody listens on.

    Args:
        wanted: The first port to try.
        taken: Ports to leave out although nobody listens on them yet.

    Raises:
        WorkshopError: None of the ``REACH`` ports from ``wanted`` on is free.
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
