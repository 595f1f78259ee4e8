"""What set-up can install, and what it has: one small record per component that is complete.

A record names the path, and for a file its size and time of change, so that a later start knows
without hashing or running anything that it is still the thing that set-up checked. The record's
name carries a key of the pins, so that checkouts of different versions share a cache in peace.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from workshop.core import versions
from workshop.core.errors import SetupError
from workshop.core.settings import CHECKOUT

HERE = Path(__file__).resolve().parent
"""This package's folder: the environments' lock files and the MCP server's are below it."""

INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
MB = 1_000_000


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


@dataclass(frozen=True)
class Component:
    """One thing that set-up installs into the cache."""

    name: str  # As on the command line.
    what: str  # What it is, for people.
    # What installs it, as ``module:function`` of this package: from a ``Job`` to a ``Record``.
    install: str
    size: int  # About how many bytes it takes on the disk while it is installed, measured.
    needs: tuple[str, ...] = ()  # Components that must be there before it can be installed.


KIT = "kit"
"""The notebooks' own environment, which is always installed, and first: the rest runs in it."""

# A component stands after those that it needs.
COMPONENTS = (
    Component("mongodb", "mongod, or else FerretDB", "programs:mongodb", 1_300 * MB),
    Component("node", "runs the MCP server", "programs:node", 270 * MB),
    Component("mcp-server", "the MongoDB MCP server", "programs:mcp_server", 350 * MB, ("node",)),
    Component("chat-weights", "the chat model", "weights:weights", 0),
    Component("model-server", "serves the models", "programs:environment", 170 * MB),
    Component("embedding-weights", "the embedder", "weights:weights", 200 * MB, ("model-server",)),
    Component("ogx", "the agent's server", "programs:environment", 600 * MB),
    Component("tokenizer", "a file that the server needs at start", "weights:tokenizer", 5 * MB),
    Component("prometheus", "keeps the metrics of step 9", "programs:prometheus", 140 * MB),
    Component("llama-stack", "OGX's older form", "programs:environment", 800 * MB),
)
BY_NAME = {component.name: component for component in COMPONENTS}
CHOSEN = ("llama-stack",)
"""Installed when notebook 03 chooses it, or by ``./bootstrap --with``."""
DEFAULT = tuple(name for name in BY_NAME if name not in CHOSEN)
SPARE = ("prometheus",)
"""Without these, a set-up of the default is good all the same: the step that wants them is skipped
with the reason."""


@dataclass(frozen=True)
class Record:
    """Where a component is. ``size`` is in bytes; -1 when the path is a folder."""

    path: str
    note: str
    size: int = -1
    mtime_ns: int = -1

    @classmethod
    def of(cls, path: Path, note: str) -> Record:
        """Describe what stands at this path now. ``note`` says what it is, for people."""
        if path.is_dir():
            return cls(str(path), note)
        seen = path.stat()
        return cls(str(path), note, seen.st_size, seen.st_mtime_ns)

    def fault(self) -> str:
        """What is wrong with the installed thing; empty when nothing is."""
        path = Path(self.path)
        try:
            seen = path.stat()
        except OSError:
            return "it is gone"
        if self.size < 0:
            # An environment dies with the Python that it was made from.
            python = path / "bin" / "python"
            gone = python.is_symlink() and not python.exists()
            return f"its Python is gone: {python.readlink()}" if gone else ""
        if seen.st_size < self.size:
            return f"it is truncated: {seen.st_size} of {self.size} bytes"
        if (seen.st_size, seen.st_mtime_ns) != (self.size, self.mtime_ns):
            return "it was changed after set-up checked it"
        return ""


def key(context: Context, name: str) -> str:
    """The first digits of a hash over all that decides what this component must be."""
    pins, lock = context.pins, context.lock_file(name)
    text = lock.read_text() if lock.exists() else ""
    debian = sorted(package.sha256 for package in pins.prometheus.values())
    facts: dict[str, object] = {
        "mongodb": (versions.FERRETDB, versions.FERRETDB_SUM, versions.MONGOD_MINIMUM),
        "node": (versions.NODE_MINIMUM, text),
        **{name: file.sha256 for name, file in pins.weights.items()},
        "tokenizer": (pins.tokenizer_sha256, versions.TOKENIZER_KEY),
        "prometheus": (versions.PROMETHEUS_MINIMUM, debian),
    }
    return hashlib.sha256(repr(facts.get(name, text)).encode()).hexdigest()[:12]


def record_path(context: Context, name: str) -> Path:
    """Where this component's record is kept."""
    return context.cache / "found" / f"{name}-{key(context, name)}.json"


def read(context: Context, name: str) -> Record | None:
    """The component's record; None when there is none that can be read."""
    try:
        return Record(**json.loads(record_path(context, name).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write(context: Context, name: str, record: Record) -> None:
    """Say that a component is complete. The last act of installing it."""
    target = record_path(context, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(record), indent=1) + "\n")
    fresh.replace(target)


def forget(context: Context, name: str) -> None:
    """Say that a component is no longer complete. The first act of installing it again."""
    record_path(context, name).unlink(missing_ok=True)


def fault(context: Context, name: str) -> str:
    """Why this component must be installed (again); empty when it is complete."""
    record = read(context, name)
    if record is None:
        return "it is not installed"
    named = own_file(context, name)
    if named is not None and Path(record.path) != named:
        return f"set-up has not checked {named} yet"
    return record.fault()


def locate(context: Context, name: str) -> Path:
    """Where an installed component is; see ``workshop.setup.locate``."""
    wrong, record = fault(context, name), read(context, name)
    if wrong or record is None:
        raise SetupError(
            f"{name} is not ready: {wrong}.",
            where=record.path if record else str(context.cache),
            hint=f"./bootstrap --with {name}" if name in (*CHOSEN, *SPARE) else "make setup",
        )
    return Path(record.path)


def own_file(context: Context, name: str) -> Path | None:
    """The weights file that the user named by environment variable, if any."""
    file = context.pins.weights.get(name)
    named = context.env.get(file.variable, "") if file else ""
    return Path(named).expanduser().absolute() if named else None


def to_install(context: Context, names: Iterable[str]) -> list[Component]:
    """Which components must be installed for these names, with all that they build on.

    Raises ``SetupError`` where a name is not a component's, with all wrong names at once.
    """
    waiting = list(names)
    if unknown := sorted(set(waiting) - set(BY_NAME)):
        raise SetupError(
            f"There is no component {', '.join(unknown)}.",
            hint=f"choose from {', '.join(sorted(BY_NAME))}",
        )
    wanted: set[str] = set()
    while waiting:
        component = BY_NAME[waiting.pop()]
        if component.name not in wanted and fault(context, component.name):
            wanted.add(component.name)
            waiting.extend(component.needs)
    return [component for component in COMPONENTS if component.name in wanted]


def space(context: Context, component: Component) -> int:
    """About how many bytes this component will take."""
    if own_file(context, component.name):
        return 0
    # The file itself, and the packages that it is joined from.
    file = context.pins.weights.get(component.name)
    return component.size + (2 * file.size if file else 0)
