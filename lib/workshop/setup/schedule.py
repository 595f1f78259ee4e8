"""Installs components at the same time: a thread each, which waits for what it builds on."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from workshop.core.errors import SetupError, WorkshopError
from workshop.setup import components, disk, found
from workshop.setup.components import Component
from workshop.setup.context import Context, Stopped
from workshop.setup.job import Job
from workshop.setup.progress import Board

STOPPED = "stopped; goes on here next time"
TICK_SECONDS = 0.1
LEAVE_SECONDS = 8.0
"""How long the components may take to end once they are told to. A download that is stuck in a
silent server is left behind then: what it has written stays good for the next set-up."""


@dataclass(frozen=True)
class Outcome:
    """How one component's installation ended. ``error`` is None when it went well."""

    name: str
    seconds: float
    note: str
    error: WorkshopError | None = None


def install(context: Context, names: Iterable[str], board: Board) -> list[Outcome]:
    """Install what is missing of these components.

    Raises:
        SetupError: A component could not be installed, or the disk is too small. When several
            failed, the first one's, with the others as notes.
    """
    outcomes = attempt(context, names, board)
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if errors:
        for other in errors[1:]:
            errors[0].add_note(str(other))
        raise errors[0]
    return outcomes


def attempt(
    context: Context, names: Iterable[str], board: Board, spare: Collection[str] = ()
) -> list[Outcome]:
    """Install what is missing; gives each component's outcome, the failed ones too.

    The first failure stops the others: all of them go on where they are at the next set-up. Those
    that can be spared may fail: their note says why.

    Raises:
        SetupError: Before anything is begun: an unknown name, or the disk is too small.
    """
    chosen = components.to_install(context, names)
    if chosen and (why := disk.closed(context.cache)):
        return _beside(context, [one for one in chosen if one.name not in spare], board, why)
    return _attempt(context, chosen, board, spare)


def _beside(context: Context, chosen: Sequence[Component], board: Board, why: str) -> list[Outcome]:
    """Use a cache that cannot be written as it is, if it is complete."""
    lacks = [component.name for component in chosen if not component.in_checkout]
    mine = "WORKSHOP_CACHE=/path/to/a/folder/of/yours ./bootstrap"
    if not context.cache.is_dir():
        raise SetupError(
            "The cache folder cannot be made.", where=str(context.cache), state=why, hint=mine
        )
    if lacks:
        raise SetupError(
            f"The cache lacks {', '.join(lacks)}, and nothing can be written to it.",
            where=str(context.cache),
            state="; ".join([*(f"{name}: {found.fault(context, name)}" for name in lacks), why]),
            hint=f"let somebody who may write to it run ./bootstrap, or {mine}",
        )
    with tempfile.TemporaryDirectory(prefix="workshop-setup-") as spare:
        return _attempt(replace(context, spare=Path(spare)), chosen, board, ())


def _attempt(
    context: Context, chosen: Sequence[Component], board: Board, spare: Collection[str]
) -> list[Outcome]:
    wanted: dict[Path, int] = {}
    for component in chosen:
        folder = context.checkout if component.in_checkout else context.cache
        if component.in_checkout and (folder / ".venv").exists():
            continue
        wanted[folder] = wanted.get(folder, 0) + components.space(context, component)
    disk.check(wanted)
    return _Run(context, board, chosen, spare).all()


class _Run:
    """One set-up: its threads and what came of them."""

    def __init__(
        self,
        context: Context,
        board: Board,
        chosen: Sequence[Component],
        spare: Collection[str],
    ) -> None:
        self._spare = spare
        self._context = context
        self._board = board
        self._chosen = chosen
        self._done = {component.name: threading.Event() for component in chosen}
        self._outcomes: dict[str, Outcome] = {}

    def all(self) -> list[Outcome]:
        threads = [
            threading.Thread(target=self._one, args=(component,), name=component.name, daemon=True)
            for component in self._chosen
        ]
        for thread in threads:
            thread.start()
        # The events are awaited, not the threads: in Python 3.12 a join that Ctrl-C interrupts
        # takes the thread for ended (https://github.com/python/cpython/issues/90882).
        leave_at = math.inf
        try:
            while self._unfinished() and time.monotonic() < leave_at:
                self._done[self._unfinished()[0]].wait(TICK_SECONDS)
                self._board.tick()
                if self._context.stop.is_set() and leave_at == math.inf:
                    leave_at = time.monotonic() + LEAVE_SECONDS
        except BaseException:
            self._context.stop.set()
            leave_at = time.monotonic() + LEAVE_SECONDS
            for event in self._done.values():
                event.wait(max(0.0, leave_at - time.monotonic()))
            raise
        left = Outcome("", LEAVE_SECONDS, STOPPED)
        return [self._outcomes.get(c.name, replace(left, name=c.name)) for c in self._chosen]

    def _unfinished(self) -> list[str]:
        return [name for name, event in self._done.items() if not event.is_set()]

    def _one(self, component: Component) -> None:
        began = time.monotonic()
        error: WorkshopError | None = None
        try:
            self._wait_for(component.needs)
            began = time.monotonic()
            with disk.full_disk_is_clear(self._context.cache):
                note = self._install(component)
        except Stopped:
            note = STOPPED
        except WorkshopError as failure:
            note, error = "FAILED", failure
            if component.name in self._spare:
                note, error = f"left out: {failure.what}", None
        except Exception as failure:  # A fault of the kit: shown like any other, not swallowed.
            note = "FAILED"
            error = SetupError(f"{component.name}: {type(failure).__name__}: {failure}")
            error.__cause__ = failure
        if error is not None:
            self._context.stop.set()
        seconds = time.monotonic() - began
        self._outcomes[component.name] = Outcome(component.name, seconds, note, error)
        self._board.end(component.name, note)
        self._done[component.name].set()

    def _wait_for(self, needs: Iterable[str]) -> None:
        for name in needs:
            while name in self._done and not self._done[name].wait(TICK_SECONDS):
                if self._context.stop.is_set():
                    raise Stopped
            if name in self._outcomes and self._outcomes[name].error is not None:
                raise Stopped

    def _install(self, component: Component) -> str:
        say = partial(self._board.say, component.name)
        lock = component.name
        if component.in_checkout:
            lock += "-" + str(self._context.checkout).replace("/", "-")
        with lock_held(self._context, lock[-200:], say) as handle:
            job = Job(self._context, component.name, self._board, handle)
            if not component.missing(self._context):
                return "installed by another set-up"
            if component.in_checkout:
                return component.install(job).note
            found.forget(self._context, component.name)
            record = component.install(job)
            job.check()
            found.write(self._context, component.name, record)
            return record.note


POLL = 0.2
"""Seconds between two tries. The kernel frees the lock when its holder dies."""


@contextlib.contextmanager
def lock_held(context: Context, name: str, say: Callable[[str], None]) -> Iterator[int]:
    """Hold a component's lock; while another set-up has it, say which one and wait.

    Gives the lock's file descriptor. A program that inherits it holds the lock too: when set-up
    is killed in the middle, the next one waits until the npm or go that it left has ended.

    Raises:
        Stopped: ``context.stop`` was set while waiting.
    """
    path = context.writable / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not _lock_taken(handle):
            say(f"another set-up (pid {_lock_holder(path)}) is installing {name}; waiting")
            if context.stop.wait(POLL):
                raise Stopped
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _lock_taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_holder(path: Path) -> str:
    return path.read_text().strip() or "unknown"
