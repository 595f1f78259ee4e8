"""What every part of set-up is given: the pins, the places on disk and the environment."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workshop.core import versions
from workshop.core.errors import SetupError

HERE = Path(__file__).resolve().parent
"""This package's folder: the environments' lock files and the MCP server's are below it."""

CHECKOUT = HERE.parents[2]
"""The checkout that this package stands in, when it stands in one."""

INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


class Stopped(Exception):
    """The work ended early because ``Context.stop`` was set. Not an error of its own."""


@dataclass(frozen=True)
class Context:
    """What set-up works with.

    Attributes:
        cache: Where things are installed; shared by all checkouts of this user.
        checkout: Where the kit's own environment is made.
        env: The environment variables, of this process unless a test gives others.
        pins: Sizes and hashes.
        sources: The folder with the lock files.
        spare: Where the kit's own installation writes when nothing can be written to the cache.
        stop: Set when the work should end early: Ctrl-C, or another component failed.
    """

    cache: Path
    checkout: Path = CHECKOUT
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    pins: versions.Pins = versions.PINS
    sources: Path = HERE
    spare: Path | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def from_env(cls) -> Context:
        """The context of this process: its environment variables and the kit's own pins."""
        return cls(cache=cache_folder(os.environ))

    @property
    def writable(self) -> Path:
        """Where locks, logs and the caches of uv, npm and go are."""
        return self.spare or self.cache

    @property
    def named_index(self) -> str:
        """The package index that the user's environment variables name; empty when they do not."""
        return next((self.env[name] for name in INDEX_VARIABLES if self.env.get(name)), "")

    @property
    def locked_index(self) -> str:
        """The package index that uv.lock was made from.

        Raises:
            SetupError: uv.lock is not there to say.
        """
        lock = self.checkout / "uv.lock"
        found = re.search(r'registry = "([^"]+)"', lock.read_text()) if lock.exists() else None
        if found is None:
            raise SetupError(
                "No package index is known.",
                where=str(lock),
                hint="set UV_DEFAULT_INDEX to the address of a package index",
            )
        return found.group(1)

    @property
    def index(self) -> str:
        """The package index to use."""
        return self.named_index or self.locked_index

    def check(self) -> None:
        """Raise ``Stopped`` when the work should end early."""
        if self.stop.is_set():
            raise Stopped


def cache_folder(env: Mapping[str, str]) -> Path:
    """The cache: WORKSHOP_CACHE, else below XDG_CACHE_HOME, else below ``~/.cache``.

    Raises:
        SetupError: WORKSHOP_CACHE is not an absolute path.
    """
    chosen = env.get("WORKSHOP_CACHE")
    if chosen:
        folder = Path(chosen).expanduser()
        if not folder.is_absolute():
            raise SetupError(
                f"WORKSHOP_CACHE must be an absolute path, and is {chosen!r}.",
                hint="set it to a folder's full path, or unset it",
            )
        return folder
    base = env.get("XDG_CACHE_HOME") or env.get("HOME", "") + "/.cache"
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / (
        "agent-workshop-kit"
    )
