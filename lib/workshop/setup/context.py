"""What every part of set-up is given: the pins, the places on disk and the environment."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workshop.core import versions
from workshop.core.errors import SetupError
from workshop.core.files import FULL, amount

HERE = Path(__file__).resolve().parent
"""This package's folder: the environments' lock files and the MCP server's are below it."""
CHECKOUT = HERE.parents[2]
"""The checkout that this package stands in, when it stands in one."""

INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


class Stopped(Exception):
    """The work ended early because ``Context.stop`` was set. Not an error of its own."""


def cache_folder(env: Mapping[str, str]) -> Path:
    """The cache: WORKSHOP_CACHE, else below XDG_CACHE_HOME, else below ``~/.cache``.

    Raises ``SetupError`` where WORKSHOP_CACHE is not an absolute path.
    """
    if chosen := env.get("WORKSHOP_CACHE"):
        folder = Path(chosen).expanduser()
        if folder.is_absolute():
            return folder
        raise SetupError(
            f"WORKSHOP_CACHE must be an absolute path, and is {chosen!r}.",
            hint="set it to a folder's full path, or unset it",
        )
    base = Path(env.get("XDG_CACHE_HOME") or env.get("HOME", "") + "/.cache")
    return (base if base.is_absolute() else Path.home() / ".cache") / "agent-workshop-kit"


@dataclass(frozen=True)
class Context:
    """What set-up works with; tests give their own."""

    # Where things are installed; shared by all checkouts of this user.
    cache: Path = field(default_factory=lambda: cache_folder(os.environ))
    checkout: Path = CHECKOUT  # Where the kit's own environment is made.
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    pins: versions.Pins = versions.PINS  # Sizes and hashes.
    sources: Path = HERE  # The folder with the lock files.
    # Set when the work should end early: Ctrl-C, or another component failed.
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def index(self) -> str:
        """The package index that the user's environment variables name; empty when they do not."""
        return next((self.env[name] for name in INDEX_VARIABLES if self.env.get(name)), "")

    def lock_file(self, name: str) -> Path:
        """The file with the packages, their versions and hashes, that a component is made of."""
        npm = self.sources / name / "package-lock.json"
        return npm if npm.exists() else self.sources / "environments" / f"{name}.txt"

    def check(self) -> None:
        """Raise ``Stopped`` when the work should end early."""
        if self.stop.is_set():
            raise Stopped


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


def free_space(folder: Path) -> int:
    """Bytes that are free on the disk where a folder is, or will be."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(there).free


def full(folder: Path) -> SetupError:
    """The error for a disk that became full while something was written to this folder."""
    return SetupError(
        f"The disk is full: {amount(free_space(folder))} is free.",
        where=str(folder),
        hint="free some space, or set WORKSHOP_CACHE to a folder on a larger disk, and run set-up "
        "again: it goes on where it stopped",
    )


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def copy_writable(
    source: Path, target: Path, copy: Callable[[str, str], object] = shutil.copyfile
) -> None:
    """Copy a folder whose files and folders may be read-only; links in it stay links."""
    shutil.copytree(source, target, symlinks=True, copy_function=copy, dirs_exist_ok=True)
    for folder, _folders, _files in os.walk(target):
        Path(folder).chmod(stat.S_IRWXU)
