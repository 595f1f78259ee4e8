"""What this process may use: of the machine, or of its container where that is less.

psutil knows the machine alone. A container's limits are those of its control group and of each
group above it, in version 1 or 2, or partly in both: see cgroups(7), and the kernel's documents
cgroup-v1/memory, cgroup-v1/cpusets, scheduler/sched-bwc and cgroup-v2.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path("/")
MEMORY = (
    ("memory.max", "memory.current", ("inactive_file", "active_file")),
    (
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
)
"""Of version 2 and 1: the limit, what is used, and what of that goes when memory is short."""


@dataclass(frozen=True)
class Memory:
    """Bytes that may still be used; ``limit`` is the container's when that leaves the least."""

    free: int
    limit: int | None = None


def memory(root: Path = ROOT) -> Memory:
    """How much memory this process and what it starts may still use.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    found = Memory(psutil.virtual_memory().available)
    for group in _groups("memory", root):
        for limit_name, used_name, spared in MEMORY:
            limit, used = _number(group / limit_name), _number(group / used_name)
            if limit is None or used is None:
                continue
            cached = sum(_number(group / "memory.stat", name) or 0 for name in spared)
            free = max(0, limit - max(0, used - cached))
            found = min(found, Memory(free, limit), key=lambda each: each.free)
    return found


def cores(root: Path = ROOT) -> float:
    """How many processor cores this process may use; a container may have half a one."""
    found = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0)
    found = found or float(os.cpu_count() or 1)
    for group in _groups("cpu", root):
        quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        of_two = _words(group / "cpu.max")
        if len(of_two) == 2 and of_two[0].isdigit():
            quota, period = int(of_two[0]), int(of_two[1])
        if quota and period and quota > 0:
            found = min(found, quota / period)
    return found


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """The folders of this process's control group and of those above it, of both versions."""
    own: dict[str, str] = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, names, path = line.split(":", 2)
        own |= dict.fromkeys(names.split(","), path)
    for line in _lines(root / "proc/self/mountinfo"):
        mount, _, kind = line.partition(" - ")
        system, _, options = [*kind.split(" ", 2), "", ""][:3]
        name = {"cgroup2": "", "cgroup": controller}.get(system)
        if name is None or name not in own or (name and name not in options.split(",")):
            continue
        above, place = mount.split(" ")[3:5]
        top = root / place.lstrip("/")
        # A container may see its group by the machine's name, and mounted as the top all the same.
        below = own[name].removeprefix(above if above != "/" else "").strip("/")
        group = top / below
        if ".." in group.parts or not group.is_dir():
            group = top
        yield from (each for each in (group, *group.parents) if each.is_relative_to(top))


def _number(file: Path, name: str = "") -> int | None:
    """The number in a file, or on the line of this name; None without it, or without a limit."""
    for line in _lines(file):
        words = line.split()
        if (not name or words[0] == name) and words[-1].lstrip("-").isdigit():
            return int(words[-1])
    return None


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
