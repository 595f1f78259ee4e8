"""Small JSON files that are whole or absent, and that only this user can read."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workshop.core.errors import WorkshopError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""How the system says that a disk is full, or this user's share of it."""

STATE = "This checkout's state"
"""What these files are, for errors."""


def private_folder(folder: Path) -> Path:
    """Make the folder when it is missing, with mode 0700, and give it back.

    Raises:
        WorkshopError: It cannot be made, for example on a full or read-only disk.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # An older umask or a copied checkout may have left it open to others.
        folder.chmod(0o700)
    except OSError as error:
        raise not_written(folder, error) from error
    return folder


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file by this as JSON; see ``write_private``."""
    write_private(path, json.dumps(content, indent=1, sort_keys=True))


def write_private(path: Path, text: str, what: str = STATE, *, sync: bool = True) -> None:
    """Replace the file in one step, with mode 0600: a reader sees the old or the new content.

    Args:
        path: The file; its folder exists.
        text: The new content.
        what: What the file is part of, for the error.
        sync: Whether it must outlive a power cut.

    Raises:
        WorkshopError: It cannot be written; the old content is then still there.
    """
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            if sync:
                # Without it, a power cut can leave an empty file under the final name.
                os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise not_written(path, error, what) from error
        raise


def read_json(path: Path, *, hint: str) -> dict[str, Any] | None:
    """The file's content, or None when there is no such file.

    Args:
        path: The file.
        hint: What to do when it cannot be read.

    Raises:
        WorkshopError: It holds something else than a JSON object, or cannot be read.
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
        place = next(place for place in (path, *path.parents) if place.exists())
        disk = shutil.disk_usage(place)
        state += f": {amount(disk.free)} of {amount(disk.total)} is free"
    return WorkshopError(
        f"{what} could not be written.",
        where=str(path),
        state=state,
        hint="make room on that disk, or set WORKSHOP_HOME to a folder that you can write to",
    )


def amount(size: int) -> str:
    """A number of bytes for people.

    Example:
        >>> amount(1_117_320_768), amount(2_500_000)
        ('1.1 GB', '2.5 MB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
