"""What the local target needs of this machine, as checks with their remedies."""

import os
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from workshop.core import versions
from workshop.core.checks import Check, Seen, tested
from workshop.core.files import nearest
from workshop.setup import locate
from workshop.targets.local import ports

GIB = 2**30
MEMORY = 4 * GIB
"""The model 1.5 GiB, the embedder 0.1, Llama Stack 0.6, Node and the database 0.4, kernels."""
CORES = 1
DISK = 2 * GIB  # For data, logs and reports; the cache was filled by set-up.
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
    """Every requirement, so that all that is missing shows at once, each with its remedy.

    ``state`` must be a folder that can be written, ``wanted_ports`` are those that the architecture
    gives to parts; ``own_ports``, with the part's name, and ``own_pids`` are of this checkout's.
    """
    free = "free, or another is taken"
    return [
        tested("Python", f"{versions.PYTHON} or newer", _python),
        tested("memory", f"{MEMORY // GIB} GiB free", _memory, own_pids),
        tested("cores", f"{CORES} or more", _cores),
        tested("disk", f"{DISK // GIB} GiB free", _disk, state),
        tested("state folder", "can be written", _writable, state),
        *(tested(one, "installed", lambda it: (True, str(locate(it))), one) for one in COMPONENTS),
        *(tested(f"port {port}", free, _port, port, own_ports) for port in wanted_ports),
    ]


def _python() -> Seen:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = tuple(map(int, versions.PYTHON.split(".")))
    return sys.version_info[:2] >= wanted, version


def _memory(own_pids: Collection[int]) -> Seen:
    # What our own parts hold already is not missing.
    memory = memory_left()
    free = memory.free + sum(map(_held, own_pids))
    if memory.limit is None:
        return _enough(free, MEMORY, "", "end other programs")
    where = f" of the container's {memory.limit / GIB:.1f} GiB"
    return _enough(min(free, memory.limit), MEMORY, where, "give the container more")


def _cores() -> Seen:
    cores = cores_allowed()
    is_enough = cores >= CORES
    return is_enough, f"{cores:.3g}" + ("" if is_enough else ": give the container more")


def _held(pid: int) -> int:
    """Bytes of memory that a process and all that it started hold."""
    held = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                held += one.memory_info().rss
    return held


def _disk(state: Path) -> Seen:
    place = nearest(state)
    free = shutil.disk_usage(place).free
    return _enough(free, DISK, f" at {place}", "free space, or set WORKSHOP_HOME to another disk")


def _enough(free: int, wanted: int, where: str, remedy: str) -> Seen:
    is_enough = free >= wanted
    return is_enough, f"{free / GIB:.1f} GiB{where}" + ("" if is_enough else f": {remedy}")


def _writable(state: Path) -> Seen:
    place = nearest(state)
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return True, str(state)
    return False, f"{place} is not a folder that you can write to: set WORKSHOP_HOME to one"


def _port(port: int, own: Mapping[int, str]) -> Seen:
    if port in own:
        return True, f"held by this kit's {own[port]}"
    if ports.is_free(port):
        return True, "free"
    return True, f"taken by {ports.holder(port)}: the next free one will be used"


# --- what this process may use, of the machine or of its container, whichever is less ------------

_ROOT = Path("/")
_MEMORY_FILES = (
    ("memory.max", "memory.current", ""),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
)
"""Of version 2 and 1: the limit, what is used, and how the figures in ``memory.stat`` begin."""


@dataclass(frozen=True)
class Memory:
    """Bytes that may still be used; ``limit`` is the container's when that leaves the least."""

    free: int
    limit: int | None = None


def memory_left(root: Path = _ROOT) -> Memory:
    """How much memory this process and what it starts may still use; by ``root/proc``, ``sys``."""
    found = Memory(psutil.virtual_memory().available)
    for group in _groups("memory", root):
        for limit_name, used_name, prefix in _MEMORY_FILES:
            limit, used = _number(group / limit_name), _number(group / used_name)
            if limit is None or used is None:
                continue
            # It goes when memory is short.
            cached = [
                _number(group / "memory.stat", f"{prefix}{name}") or 0
                for name in ("inactive_file", "active_file")
            ]
            free = max(0, limit - max(0, used - sum(cached)))
            found = min(found, Memory(free, limit), key=lambda each: each.free)
    return found


def cores_allowed(root: Path = _ROOT) -> float:
    """How many processor cores this process may use; a container may have half of one."""
    affine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = float(affine or 1)
    for group in _groups("cpu", root):
        # Of version 1 in two files, of version 2 in one; without a limit, -1 or "max".
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.max")
        words = " ".join(line for name in names for line in _lines(group / name)).split()
        if len(words) == 2 and words[0].isdigit() and words[0] != "0":
            found = min(found, int(words[0]) / int(words[1]))
    return found


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """The folders of this process's control group and of those above it, where they are in sight.

    psutil knows the machine alone. A container's limits are those of its group and of each group
    above it, in version 1 or 2, or partly in both: see cgroups(7), and the kernel's documents
    cgroup-v1/memory, cgroup-v1/cpusets, scheduler/sched-bwc and cgroup-v2. A container may see its
    group by the machine's name, and mounted as the top all the same.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / controllers
            group = top / path.strip("/")
            yield from (each for each in (group, *group.parents) if each.is_relative_to(top))


def _number(file: Path, name: str = "") -> int | None:
    """The number in a file, or on the line of this name; None without it, or without a limit."""
    for line in _lines(file):
        words = line.split()
        if (not name or words[0] == name) and words[-1].lstrip("-").isdigit():
            return int(words[-1])
    return None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
