"""Disk space: asked before work begins, and one clear error when it ends all the same."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from workshop.core.errors import SetupError
from workshop.core.files import FULL as FULL
from workshop.core.files import amount as amount

MB = 1_000_000
SAID_BY_PROGRAMS = ("no space left on device", "disk quota exceeded", "enospc")


def check(folder: Path, size: int) -> None:
    """Raise when there is less free space than what is about to be installed in a folder.

    Raises:
        SetupError: With how many bytes are needed and how many there are.
    """
    free = shutil.disk_usage(_existing(folder)).free
    if free < size:
        raise SetupError(
            f"Not enough disk space: set-up needs {amount(size)}, "
            f"and there is {amount(free)} free.",
            where=str(folder),
            hint="free some space, or set WORKSHOP_CACHE to a folder on a larger disk; "
            "what is there already is kept",
        )


@contextlib.contextmanager
def full_disk_is_clear(folder: Path) -> Iterator[None]:
    """Turn the system's "no space left on device" into set-up's own error.

    Raises:
        SetupError: The disk became full. Nothing is removed: the next set-up goes on from here.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise full(folder) from error


def full(folder: Path) -> SetupError:
    """The error for a disk that became full while something was written to this folder."""
    free = shutil.disk_usage(_existing(folder)).free
    return SetupError(
        f"The disk is full: {amount(free)} is free.",
        where=str(folder),
        hint="free some space, or set WORKSHOP_CACHE to a folder on a larger disk, and run set-up "
        "again: it goes on where it stopped",
    )


def closed(folder: Path) -> str:
    """Why nothing can be written to this folder, which is made if need be; empty when it can be.

    A full disk is another trouble, and is told when it is met.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return "" if error.errno in FULL else f"{error.strerror}: {error.filename}"
    return ""


def copy_writable(
    source: Path, target: Path, copy: Callable[[str, str], object] = shutil.copyfile
) -> None:
    """Copy a folder whose files and folders may be read-only; links in it stay links."""
    shutil.copytree(source, target, symlinks=True, copy_function=copy)
    for folder, _folders, _files in os.walk(target):
        Path(folder).chmod(stat.S_IRWXU)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder if os.access(folder, os.X_OK) else folder.parent
