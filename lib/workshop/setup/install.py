"""Installs components at the same time, each when what it builds on is there.

Runs in the kit's own environment.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from importlib import import_module

from workshop.core.errors import SetupError, WorkshopError
from workshop.setup import components, disk, found
from workshop.setup.components import Component
from workshop.setup.context import Context, Stopped
from workshop.setup.job import Job, locked
from workshop.setup.lines import Board
from workshop.setup.weights import sha256_of

STOPPED = "stopped; goes on here next time"


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
        chosen = [one for one in chosen if one.name not in spare]
        _refuse(context, chosen, why)
    if not chosen:
        return []
    disk.check(context.cache, sum(components.space(context, each) for each in chosen))
    named = {component.name for component in chosen}
    order = TopologicalSorter({each.name: named & {*each.needs} for each in chosen})
    order.prepare()
    outcomes: dict[str, Outcome] = {}
    running: set[Future[Outcome]] = set()
    with ThreadPoolExecutor(len(chosen)) as pool:
        try:
            while order.is_active():
                ready = sorted(order.get_ready(), key=list(components.BY_NAME).index)
                running |= {pool.submit(_one, context, name, board, spare) for name in ready}
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for outcome in (future.result() for future in done):
                    outcomes[outcome.name] = outcome
                    order.done(outcome.name)
                    if outcome.error is not None:
                        context.stop.set()
        except BaseException:
            context.stop.set()
            raise
        finally:
            board.close()
    return [outcomes[component.name] for component in chosen]


def verify_weights(context: Context, board: Board) -> None:
    """Forget the record of every weights file whose hash is no longer right."""
    for name in ("chat-weights", "embedding-weights"):
        wanted = found.weights(context, name)
        if wanted is None or found.fault(context, name):
            continue
        board.say(name, "checking the hash")
        if sha256_of(found.locate(context, name)) == wanted.sha256:
            board.end(name, "the hash is right")
        else:
            found.forget(context, name)
            board.end(name, "the hash is wrong; it will be fetched again")


def _refuse(context: Context, chosen: Sequence[Component], why: str) -> None:
    """Raise when something is missing in a cache that cannot be written."""
    mine = "WORKSHOP_CACHE=/path/to/a/folder/of/yours ./bootstrap"
    if not context.cache.is_dir():
        raise SetupError(
            "The cache folder cannot be created.", where=str(context.cache), state=why, hint=mine
        )
    if chosen:
        names = [component.name for component in chosen]
        raise SetupError(
            f"The cache lacks {', '.join(names)}, and nothing can be written to it.",
            where=str(context.cache),
            state="; ".join([*(f"{name}: {found.fault(context, name)}" for name in names), why]),
            hint=f"let somebody who may write to it run ./bootstrap, or {mine}",
        )


def _one(context: Context, name: str, board: Board, spare: Collection[str]) -> Outcome:
    began = time.monotonic()
    error: WorkshopError | None = None
    try:
        context.check()
        with disk.full_disk_is_clear(context.cache):
            note = _install(context, name, board)
    except Stopped:
        note = STOPPED
    except WorkshopError as failure:
        if name in spare:
            note = f"left out: {failure.what}"
        else:
            note, error = "FAILED", failure
    board.end(name, note)
    return Outcome(name, time.monotonic() - began, note, error)


def _install(context: Context, name: str, board: Board) -> str:
    with locked(context, name, partial(board.say, name)) as handle:
        if not found.fault(context, name):
            return "installed by another set-up"
        found.forget(context, name)
        module, function = components.BY_NAME[name].install.split(":")
        step = getattr(import_module(f"workshop.setup.{module}"), function)
        record: found.Record = step(Job(context, name, board, handle))
        context.check()
        found.write(context, name, record)
        return record.note
