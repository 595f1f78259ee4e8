"""The host names of Routes, resolved on this machine, for one Python process and a while."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from testcluster.openshift.names import APPS, ROUTER


@contextlib.contextmanager
def routes_resolved() -> Iterator[None]:
    """Inside, every name below ``APPS`` is at the router; TLS still sees the name."""
    real = socket.getaddrinfo

    def look(host: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return real(ROUTER if (name or "").endswith(f".{APPS}") else host, *rest, **more)

    socket.getaddrinfo = look
    try:
        yield
    finally:
        socket.getaddrinfo = real
