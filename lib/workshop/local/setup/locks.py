"""One set-up at a time works on one component of a cache; a second waits for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from workshop.local.setup.context import Context, Stopped

POLL = 0.2
"""Seconds between two tries. The kernel frees the lock when its holder dies."""


@contextlib.contextmanager
def held(context: Context, name: str, say: Callable[[str], None]) -> Iterator[int]:
    """Hold a component's lock; while another set-up has it, say which one and wait.

    Gives the lock's file descriptor. A program that inherits it holds the lock too: when set-up
    is killed in the middle, the next one waits until the npm or go that it left has ended.

    Raises:
        Stopped: ``context.stop`` was set while waiting.
    """
    path = context.writable / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not _taken(handle):
            say(f"another set-up (pid {_holder(path)}) is installing {name}; waiting")
            if context.stop.wait(POLL):
                raise Stopped
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(path: Path) -> str:
    return path.read_text().strip() or "unknown"
