"""Set-up: what the local target needs, installed once per machine into a cache.

``locate`` says where an installed thing is; ``ensure`` installs what is missing: components at the
same time, each when what it builds on is there.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

from workshop.core.errors import SetupError, WorkshopError
from workshop.core.files import amount
from workshop.setup import components
from workshop.setup.components import Component, Context, Record, Stopped
from workshop.setup.job import alone, closed, free_space, sha256_of
from workshop.setup.lines import Lines


def locate(name: str) -> Path:
    """Where an installed thing is. Fast: nothing is hashed and no program is run.

    The names: ``model-server``, ``ogx``, ``llama-stack`` (folders of environments), ``node``,
    ``mongodb`` (executables), ``mcp-server`` (its index.js), ``chat-weights``,
    ``embedding-weights`` (files), ``tokenizer`` (a folder). Raises ``SetupError`` where it is not
    installed, or no longer what set-up installed.
    """
    return components.locate(Context(), name)


def ensure(
    names: Iterable[str], *, report: Callable[[str], object], context: Context | None = None
) -> None:
    """Install what is missing of these components, independent ones at the same time.

    ``names`` are as for ``locate``; ``report`` takes each line of progress, for example a
    ``progress.Stages``; tests have a context of their own. Raises ``SetupError`` where a component
    could not be installed, or the disk is too small.

    Example:
        >>> with stages("Set-up") as stage:  # doctest: +SKIP
        ...     ensure(["llama-stack"], report=stage)
    """
    for outcome in attempt(context or Context(), names, Lines(report)):
        if outcome.error is not None:
            raise outcome.error


@dataclass(frozen=True)
class Outcome:
    """How one component's installation ended. ``error`` is None when it went well."""

    name: str
    seconds: float
    note: str
    error: WorkshopError | None = None


def attempt(
    context: Context, names: Iterable[str], lines: Lines, spare: Collection[str] = ()
) -> list[Outcome]:
    """Install what is missing; gives each component's outcome, the failed ones too.

    The first failure stops the others: all of them go on where they are at the next set-up. Those
    that can be spared may fail: their note says why. Before anything is begun, ``SetupError`` is
    raised for an unknown name, and where the disk is too small.
    """
    chosen = components.to_install(context, names)
    if chosen and (why := closed(context.cache)):
        chosen = [one for one in chosen if one.name not in spare]
        _refuse(context, chosen, why)
    if not chosen:
        return []
    _check_space(context, chosen)
    futures: dict[str, Future[Outcome]] = {}
    with ThreadPoolExecutor(len(chosen)) as pool:
        try:
            for one in chosen:
                needs = [futures[name] for name in one.needs if name in futures]
                futures[one.name] = pool.submit(_one, context, one, lines, spare, needs)
            return [future.result() for future in futures.values()]
        except BaseException:
            context.stop.set()
            raise
        finally:
            lines.close()


def verify_weights(context: Context, lines: Lines) -> None:
    """Forget the record of every weights file whose hash is no longer right."""
    for name, wanted in context.pins.weights.items():
        if components.fault(context, name):
            continue
        lines.say(name, "checking the hash")
        if sha256_of(components.locate(context, name)) == wanted.sha256:
            lines.end(name, "the hash is right")
        else:
            components.forget(context, name)
            lines.end(name, "the hash is wrong; it will be fetched again")


def _refuse(context: Context, chosen: Sequence[Component], why: str) -> None:
    """Raise when something is missing in a cache that cannot be written."""
    mine = "WORKSHOP_CACHE=/path/to/a/folder/of/yours ./bootstrap"
    if not context.cache.is_dir():
        raise SetupError(
            "The cache folder cannot be created.", where=str(context.cache), state=why, hint=mine
        )
    if chosen:
        missing = {one.name: components.fault(context, one.name) for one in chosen}
        raise SetupError(
            f"The cache lacks {', '.join(missing)}, and nothing can be written to it.",
            where=str(context.cache),
            state="; ".join([*(f"{name}: {fault}" for name, fault in missing.items()), why]),
            hint=f"let somebody who may write to it run ./bootstrap, or {mine}",
        )


def _check_space(context: Context, chosen: Sequence[Component]) -> None:
    size = sum(components.space(context, one) for one in chosen)
    if (free := free_space(context.cache)) < size:
        raise SetupError(
            f"Not enough disk space: set-up needs {amount(size)}, "
            f"and there is {amount(free)} free.",
            where=str(context.cache),
            hint="free some space, or set WORKSHOP_CACHE to a folder on a larger disk; "
            "what is there already is kept",
        )


def _one(
    context: Context,
    component: Component,
    lines: Lines,
    spare: Collection[str],
    needs: Sequence[Future[Outcome]],
) -> Outcome:
    wait(needs)
    began = time.monotonic()
    error: WorkshopError | None = None
    try:
        context.check()
        note = _install(context, component, lines)
    except Stopped:
        note = "stopped; goes on here next time"
    except WorkshopError as failure:
        if component.name in spare:
            note = f"left out: {failure.what}"
        else:
            note, error = "FAILED", failure
            context.stop.set()
    lines.end(component.name, note)
    return Outcome(component.name, time.monotonic() - began, note, error)


def _install(context: Context, component: Component, lines: Lines) -> str:
    name = component.name
    with alone(context, name, lines) as job:
        if not components.fault(context, name):
            return "installed by another set-up"
        components.forget(context, name)
        record: Record = resolve_name(f"workshop.setup.{component.install}")(job)
        context.check()
        components.write(context, name, record)
        return record.note
