"""One run at a time: a lock that names its holder, and that ends with it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from workshop.core import files
from workshop.core.errors import AlreadyRunning, WorkshopError


@contextmanager
def hold(path: Path, what: str) -> Iterator[None]:
    """Hold the lock while the block runs.

    The operating system frees it when the holder ends in whatever way; a part that the holder
    starts does not inherit it.

    Args:
        path: The lock file. It stays there: removing it would let two in.
        what: What the holder does, such as ``workshop run``, for the one who comes second.

    Raises:
        AlreadyRunning: Another process holds it: says which, and since when.
        WorkshopError: The file system knows no locks.
    """
    handle = _open(path)
    try:
        try:
            _lock(path, handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held(path, handle) from None
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        note = {"pid": os.getpid(), "what": what, "since": since}
        # One that was killed has left its own note behind.
        os.ftruncate(handle, 0)
        # On a full disk it is held without a note: what runs there can still be stopped.
        with suppress(OSError):
            os.pwrite(handle, json.dumps(note).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait for the lock and hold it: for the moment that it takes to change a file.

    Raises:
        WorkshopError: The file system knows no locks.
    """
    handle = _open(path)
    try:
        _lock(path, handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    files.private_folder(path.parent)
    try:
        # Close-on-exec: a server that the holder starts would keep the lock for its own lifetime.
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise files.not_written(path, error) from error


def _lock(path: Path, handle: int, how: int) -> None:
    try:
        fcntl.flock(handle, how)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EINTR):
            raise
        raise WorkshopError(
            "The file system of this checkout knows no locks.",
            where=str(path),
            state=error.strerror or str(error),
            hint="set WORKSHOP_HOME to a folder on a disk of this machine",
        ) from error


def _held(path: Path, handle: int) -> AlreadyRunning:
    what = "Another run holds this folder."
    try:
        note = json.loads(os.pread(handle, 4096, 0))
        pid, doing, since = int(note["pid"]), str(note["what"]), str(note["since"])
    except (ValueError, KeyError, TypeError):
        # It has locked the file a moment ago, and not yet written who it is.
        return AlreadyRunning(what, where=str(path), hint="wait for it")
    return AlreadyRunning(
        what,
        where=str(path),
        state=f"{doing} (pid {pid}), since {since}",
        hint=f"wait for it, or stop it: kill {pid}",
    )
