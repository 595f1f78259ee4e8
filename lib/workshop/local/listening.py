"""Whether it is really our process that listens on a port, and not a stranger that took it."""

from __future__ import annotations

import functools
import os
import socket

import psutil

LOOPBACK = "127.0.0.1"


def by(pid: int, port: int) -> bool:
    """Whether this process, or one that it started, listens on the port.

    True as well where the system does not let this user see who listens.
    """
    if not _can_tell():
        return True
    try:
        process = psutil.Process(pid)
        # Its children only when need be: to find them, all processes of the machine are looked at.
        return _listens(process, port) or any(
            _listens(child, port) for child in process.children(recursive=True)
        )
    except psutil.NoSuchProcess:
        return False


def sockets(pid: int) -> set[tuple[str, int]]:
    """Address and port of every TCP socket on which this process, or one that it started, listens.

    None where the system does not let this user see who listens.
    """
    if not _can_tell():
        return set()
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return {found for one in family for found in _listening(one)}
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return set()


def anybody(port: int) -> bool:
    """Whether a connection is accepted. Binds nothing: a part may be about to take the port."""
    with socket.socket() as client:
        client.settimeout(0.5)
        if client.connect_ex((LOOPBACK, port)) != 0:
            return False
        # TCP lets a socket meet itself when the system gives it this very port to call from.
        return bool(client.getsockname() != client.getpeername())


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        return any(at == port for _, at in _listening(process))
    except psutil.AccessDenied:
        return True


def _listening(process: psutil.Process) -> list[tuple[str, int]]:
    try:
        found = process.net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return []
    return [
        (one.laddr.ip, one.laddr.port)
        for one in found
        if one.status == psutil.CONN_LISTEN and one.laddr
    ]


@functools.cache
def _can_tell() -> bool:
    """Whether this system shows a process's sockets: some sandboxes do not."""
    with socket.create_server((LOOPBACK, 0)) as server:
        try:
            return _listens(psutil.Process(os.getpid()), server.getsockname()[1])
        except (OSError, psutil.Error):
            return False
