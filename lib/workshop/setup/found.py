"""What is installed, and where: one small record per component, written when it is complete.

A record names the path, and for a file its size and time of change, so that a later start knows
without hashing or running anything that it is still the thing that set-up checked. The record's
name carries a key of the pins, so that checkouts of different versions share a cache in peace.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from workshop.core import versions
from workshop.core.errors import SetupError
from workshop.core.versions import Weights
from workshop.setup.context import Context

ENVIRONMENTS = ("model-server", "ogx", "llama-stack")
HINT = "make setup"


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
            if python.is_symlink() and not python.exists():
                return f"its Python is gone: {python.readlink()}"
            return ""
        if seen.st_size < self.size:
            return f"it is truncated: {seen.st_size} of {self.size} bytes"
        if (seen.st_size, seen.st_mtime_ns) != (self.size, self.mtime_ns):
            return "it was changed after set-up checked it"
        return ""


def weights(context: Context, name: str) -> Weights | None:
    """The pins of a component that is a file of weights."""
    pins = context.pins
    return {"chat-weights": pins.chat, "embedding-weights": pins.embedding}.get(name)


def record_path(context: Context, name: str) -> Path:
    """Where this component's record is kept."""
    return context.cache / "found" / f"{name}-{key(context, name)}.json"


def key(context: Context, name: str) -> str:
    """The first digits of a hash over all that decides what this component must be."""

    def text(file: str) -> str:
        return (context.sources / file).read_text()

    facts: object
    if name in ENVIRONMENTS:
        facts = text(f"environments/{name}.txt")
        if (python := versions.PYTHONS.get(name, versions.PYTHON)) != versions.PYTHON:
            facts = (python, facts)
    elif (file := weights(context, name)) is not None:
        facts = file.sha256
    elif name == "mcp-server":
        facts = text("mcp-server/package-lock.json")
    elif name == "mongodb":
        facts = (versions.FERRETDB, versions.FERRETDB_SUM, versions.MONGOD_MINIMUM)
    elif name == "tokenizer":
        facts = (context.pins.tokenizer_sha256, versions.TOKENIZER_KEY)
    elif name == "prometheus":
        packages = sorted(package.sha256 for package in context.pins.prometheus.values())
        facts = (versions.PROMETHEUS_MINIMUM, packages)
    elif name == "node":
        facts = (versions.NODE_MINIMUM, text("environments/node.txt"))
    else:
        raise SetupError(f"There is no component {name!r}.", hint="./bootstrap --help lists them")
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


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
    fresh = target.with_suffix(f".{os.getpid()}.new")
    try:
        fresh.write_text(json.dumps(asdict(record), indent=1) + "\n")
        fresh.replace(target)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def forget(context: Context, name: str) -> None:
    """Say that a component is no longer complete. The first act of installing it again."""
    with contextlib.suppress(FileNotFoundError):
        record_path(context, name).unlink()


def own_file(context: Context, name: str) -> Path | None:
    """The weights file that the user named by environment variable, if any."""
    file = weights(context, name)
    named = context.env.get(file.variable, "") if file else ""
    return Path(named).expanduser().absolute() if named else None


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
    wrong = fault(context, name)
    record = read(context, name)
    if wrong or record is None:
        raise SetupError(
            f"{name} is not ready: {wrong or 'it is not installed'}.",
            where=record.path if record else str(context.cache),
            hint=f"./bootstrap --with {name}" if name in ("llama-stack", "prometheus") else HINT,
        )
    return Path(record.path)
