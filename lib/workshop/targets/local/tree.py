"""A part's processes: all that its software has started, found and ended together."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import psutil

from workshop.core.errors import PartTooSlow
from workshop.core.wait import NotYet, wait_for

MARKER = "WORKSHOP_PART"
"""In the environment of a part's process, and so of all that it starts: its control folder.

It finds those whose parent has ended, and those that began a session of their own. One that does
both and also clears its environment is not found; no software of the kit does that.
"""

AFTER_KILL = 5.0
"""Seconds for the kernel to take away a killed process; more only when the disk hangs."""


@dataclass
class _Seen:
    """One look at the processes of this machine."""

    processes: dict[int, psutil.Process] = field(default_factory=dict)
    parents: dict[int, int] = field(default_factory=dict)
    marked: set[int] = field(default_factory=set)


def family(roots: Iterable[psutil.Process], marker: str) -> list[psutil.Process]:
    """These processes, those that carry the marker, and all their descendants: leaves first.

    Never the process that asks, nor one that it descends from.
    """
    seen = _look(marker)
    tops = seen.marked | {root.pid for root in roots if root.pid in seen.processes}
    above = set(_upwards(os.getpid(), seen.parents))
    depths: dict[int, int] = {}
    for pid in seen.processes:
        chain = list(_upwards(pid, seen.parents))
        if pid not in above and not tops.isdisjoint(chain):
            depths[pid] = len(chain)
    return [seen.processes[pid] for pid in sorted(depths, key=depths.__getitem__, reverse=True)]


def end(find: Callable[[], list[psutil.Process]], grace: float) -> list[psutil.Process]:
    """End the processes that ``find`` gives, and give them back.

    Args:
        find: Asked again before killing: a process may have started more of them meanwhile.
        grace: Seconds between SIGTERM and SIGKILL.

    Raises:
        PartTooSlow: One is there even after SIGKILL.
    """
    ended = {process.pid: process for process in find()}
    _signal(ended.values(), signal.SIGTERM)
    try:
        _wait(ended, grace)
    except PartTooSlow:
        _signal(ended.values(), signal.SIGKILL)
    # What was started between the look and the signal, or by a process that took its time to end.
    while late := {process.pid: process for process in find()}:
        ended |= late
        _signal(late.values(), signal.SIGKILL)
        _wait(late, AFTER_KILL)
    _wait(ended, AFTER_KILL)
    return list(ended.values())


def is_over(process: psutil.Process) -> bool:
    """Whether it has ended, with all its threads.

    A zombie has: only its parent has not asked for its exit code yet. It looks like one from the
    moment when its first thread has ended, though, and until the last has, which takes a model
    server a fifth of a second, it holds its ports.
    """
    try:
        status = process.status()
        if not process.is_running() or status == psutil.STATUS_DEAD:
            return True
        return status == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def mark_of(process: psutil.Process) -> str | None:
    """The control folder that it carries as its marker; None also when this user may not look."""
    try:
        return process.environ().get(MARKER)
    except (psutil.Error, OSError):
        return None


def _look(marker: str) -> _Seen:
    seen, user = _Seen(), os.getuid()
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                if is_over(process):
                    continue
                seen.parents[process.pid] = process.ppid()
                mine = process.uids().real == user
        except psutil.Error:
            continue
        seen.processes[process.pid] = process
        if mine and mark_of(process) == marker:
            seen.marked.add(process.pid)
    return seen


def _upwards(pid: int, parents: Mapping[int, int]) -> Iterable[int]:
    """The process and those that it descends from."""
    met: set[int] = set()
    while pid in parents and pid not in met:
        met.add(pid)
        yield pid
        pid = parents[pid]


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            # psutil compares the start time first: a pid that was given to another is left alone.
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _wait(processes: Mapping[int, psutil.Process], timeout: float) -> None:
    """Wait until all are over.

    Not with ``psutil.wait_procs``: it waits for a zombie whose parent, such as a notebook that is
    still open, has not asked for its exit code, until the time is up.
    """

    def over() -> bool | NotYet:
        left = [pid for pid, process in processes.items() if not is_over(process)]
        return NotYet(f"still there: pid {', '.join(map(str, left))}") if left else True

    hint = "see what holds them up: ps -eo pid,stat,wchan,args"
    wait_for("the processes to end", over, timeout=timeout, every=0.02, hint=hint)
