"""What the local target needs of this machine, as checks with their remedies."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from workshop.core import versions
from workshop.core.checks import Check
from workshop.core.errors import SetupError
from workshop.setup import locate
from workshop.targets.local import limits, ports

GIB = 2**30
MEMORY = 4 * GIB
"""The model 1.5 GiB, the embedder 0.1, Llama Stack 0.6, Node and the database 0.4, kernels."""
CORES = 1
DISK = 2 * GIB
"""For data, logs and reports; the cache was filled by set-up."""

COMPONENTS = (
    *("model-server", "chat-weights", "embedding-weights", "ogx", "tokenizer"),
    *("mongodb", "node", "mcp-server"),
)


def checks(
    state: Path,
    wanted_ports: Collection[int],
    own_ports: Mapping[int, str],
    own_pids: Collection[int],
) -> list[Check]:
    """Every requirement, so that all lacks show at once, each with what mends it.

    Args:
        state: The folder that must be writable.
        wanted_ports: Those that the architecture gives to parts.
        own_ports: Ports that this checkout's parts hold, with the part's name.
        own_pids: The processes of this checkout's parts.
    """
    found = [
        _check("Python", f"{versions.PYTHON} or newer", _python),
        _check("memory", f"{MEMORY // GIB} GiB free", lambda: _memory(own_pids)),
        _check("cores", f"{CORES} or more", _cores),
        _check("disk", f"{DISK // GIB} GiB free", lambda: _disk(state)),
        _check("state folder", "can be written", lambda: _writable(state)),
    ]
    found += [
        _check(name, "installed", lambda name=name: _installed(name))  # type: ignore[misc]
        for name in COMPONENTS
    ]
    found += [
        _check(f"port {port}", "free, or another is taken", lambda p=port: _port(p, own_ports))  # type: ignore[misc]
        for port in wanted_ports
    ]
    return found


def _check(name: str, expected: str, see: Callable[[], tuple[bool, str]]) -> Check:
    began = time.monotonic()
    ok, seen = see()
    return Check(name, ok, expected, seen, round(time.monotonic() - began, 3))


def _python() -> tuple[bool, str]:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = tuple(map(int, versions.PYTHON.split(".")))
    return sys.version_info[:2] >= wanted, version


def _memory(own_pids: Collection[int]) -> tuple[bool, str]:
    # What our own parts hold already is not missing.
    memory = limits.memory()
    free = memory.free + sum(map(_held, own_pids))
    if memory.limit is None:
        return _enough(free, MEMORY, "", "end other programs")
    where = f" of the container's {memory.limit / GIB:.1f} GiB"
    return _enough(min(free, memory.limit), MEMORY, where, "give the container more")


def _cores() -> tuple[bool, str]:
    cores = limits.cores()
    seen = f"{cores:.3g}"
    return (True, seen) if cores >= CORES else (False, f"{seen}: give the container more")


def _held(pid: int) -> int:
    """Bytes of memory that a process and all that it started hold."""
    held = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                held += one.memory_info().rss
    return held


def _disk(state: Path) -> tuple[bool, str]:
    place = _nearest(state)
    free = shutil.disk_usage(place).free
    return _enough(free, DISK, f" at {place}", "make room, or set WORKSHOP_HOME to another disk")


def _enough(free: int, wanted: int, where: str, remedy: str) -> tuple[bool, str]:
    seen = f"{free / GIB:.1f} GiB{where}"
    return (True, seen) if free >= wanted else (False, f"{seen}: {remedy}")


def _writable(state: Path) -> tuple[bool, str]:
    place = _nearest(state)
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return True, str(state)
    return False, f"{place} is not a folder that you can write to: set WORKSHOP_HOME to one"


def _nearest(path: Path) -> Path:
    """The path, or the nearest above it that is there."""
    return next(place for place in (path, *path.parents) if place.exists())


def _installed(name: str) -> tuple[bool, str]:
    try:
        return True, str(locate(name))
    except SetupError as error:
        return False, f"{error.what} {error.hint}"


def _port(port: int, own: Mapping[int, str]) -> tuple[bool, str]:
    if port in own:
        return True, f"held by this kit's {own[port]}"
    if ports.is_free(port):
        return True, "free"
    return True, f"taken by {ports.holder(port)}: the next free one will be used"
