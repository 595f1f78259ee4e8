"""The files of a checkout's state: private, whole or absent, and changed by one at a time."""

import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from workshop.core.errors import AlreadyRunning, WorkshopError

STATE = "This checkout's state"  # What these files are, for errors.
FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says when a disk, or the user's share of it, is full."""


def private_folder(folder: Path) -> Path:
    """Make the folder when it is missing, with mode 0700, and give it back.

    Raises ``WorkshopError`` where it cannot be made, for example on a full or read-only disk.
    """
    with writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # An older umask or a copied checkout may have left it open to others.
        folder.chmod(0o700)
    return folder


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file by this as JSON; see ``write_private``."""
    write_private(path, json.dumps(content, indent=1, sort_keys=True))


def write_private(path: Path, text: str, what: str = STATE, *, sync: bool = True) -> None:
    """Replace the file in one step, with mode 0600: a reader sees the old or the new content.

    ``what`` it is part of, an error says; with ``sync`` it outlives a power cut. Raises
    ``WorkshopError`` where it cannot be written; the old content is then still there.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with writing(path, what):
            temporary.touch(mode=0o600)
            with temporary.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                if sync:
                    # Without it, a power cut can leave an empty file under the final name.
                    os.fsync(stream.fileno())
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def read_json(path: Path, *, hint: str) -> dict[str, Any] | None:
    """The file's content, or None when there is no such file.

    Raises ``WorkshopError`` with ``hint`` where it is no JSON object, or cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        # A decoding error's own text says where it is wrong and quotes none of the content.
        raise damaged(path, f"{type(error).__name__}: {error}", hint=hint) from None
    if not isinstance(content, dict):
        raise damaged(path, f"it holds a {type(content).__name__}, not an object", hint=hint)
    return content


def damaged(path: Path, state: str, *, hint: str) -> WorkshopError:
    """The error for a file of ours that somebody or something else has changed."""
    return WorkshopError(
        "A file of this checkout's state is damaged.", where=str(path), state=state, hint=hint
    )


def not_written(path: Path, error: OSError, what: str = STATE) -> WorkshopError:
    """The error for a file or folder of ours that cannot be written."""
    state = error.strerror or str(error)
    if error.errno in FULL:
        disk = shutil.disk_usage(nearest(path))
        state += f": {amount(disk.free)} of {amount(disk.total)} is free"
    return WorkshopError(
        f"{what} could not be written.",
        where=str(path),
        state=state,
        hint="free space on that disk, or set WORKSHOP_HOME to a folder that you can write to",
    )


@contextmanager
def writing(path: Path, what: str = STATE) -> Iterator[None]:
    """Raise that error when the block cannot write what lies there."""
    try:
        yield
    except OSError as error:
        raise not_written(path, error, what) from error


def nearest(path: Path) -> Path:
    """The path, or the nearest above it that is there."""
    return next(place for place in (path, *path.parents) if place.exists())


def amount(size: int) -> str:
    """A number of bytes for people.

    Example:
        >>> amount(1_117_320_768), amount(2_500_000)
        ('1.1 GB', '2.5 MB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


@contextmanager
def hold(path: Path, what: str) -> Iterator[None]:
    """Hold the lock while the block runs, so that there is one run at a time.

    The operating system frees it when the holder ends in whatever way; a part that the holder
    starts does not inherit it. The file stays there: removing it would let two in. The one who
    comes second is told ``what`` the holder does, such as ``workshop run``.

    Raises ``AlreadyRunning`` where another process holds it, with which and since when, and
    ``WorkshopError`` where the file system does not support locks.
    """
    with _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB) as handle:
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


def turn(path: Path) -> AbstractContextManager[object]:
    """Wait for the lock and hold it: for the moment that it takes to change a file.

    Raises ``WorkshopError`` where the file system does not support locks.
    """
    return _locked(path, fcntl.LOCK_EX)


@contextmanager
def _locked(path: Path, how: int) -> Iterator[int]:
    private_folder(path.parent)
    with writing(path):
        # No program inherits it: a server that the holder starts would keep the lock as it runs.
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(path, handle, how)
        yield handle
    finally:
        os.close(handle)


def _lock(path: Path, handle: int, how: int) -> None:
    try:
        fcntl.flock(handle, how)
    except (BlockingIOError, PermissionError):
        raise _held(path, handle) from None
    except OSError as error:
        raise WorkshopError(
            "The file system of this checkout does not support locks.",
            where=str(path),
            state=error.strerror or str(error),
            hint="set WORKSHOP_HOME to a folder on a disk of this machine",
        ) from error


def _held(path: Path, handle: int) -> AlreadyRunning:
    state, hint = "", "wait for it"
    # Without a note, it has locked the file a moment ago, and not yet written who it is.
    with suppress(ValueError, KeyError, TypeError):
        note = json.loads(os.pread(handle, 4096, 0))
        pid = int(note["pid"])
        state = f"{note['what']} (pid {pid}), since {note['since']}"
        hint = f"wait for it, or stop it: kill {pid}"
    return AlreadyRunning("Another run uses this folder.", where=str(path), state=state, hint=hint)
