"""The one waiting loop of the kit."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from workshop.core.errors import EndpointError, PartTooSlow
from workshop.core.progress import Stages


@dataclass(frozen=True)
class NotYet:
    """A probe's answer when what it looks for is not there yet, and what it saw instead."""

    state: str


def answered[T](ask: Callable[[], T]) -> T | NotYet:
    """What a part answers, or ``NotYet`` while it does not: the probe of most parts.

    Raises:
        EndpointError: It refuses the credential, which waiting does not change.
    """
    try:
        return ask()
    except EndpointError as error:
        if error.kind == "unauthorized":
            raise
        return NotYet(error.state or error.what)


def wait_for[T](
    what: str,
    probe: Callable[[], T | NotYet],
    *,
    timeout: float,
    stage: Stages | None = None,
    every: float = 0.2,
    where: str = "",
    log: Callable[[], list[str]] = list,
    hint: str = "",
) -> T:
    """Ask ``probe`` until it gives a value.

    There are three ends: ready (the value), failed (the probe raises, at once), too slow.

    Args:
        what: What is awaited, as the end of "waiting for ...".
        probe: Gives the value, or ``NotYet`` with the state it saw; raises when waiting is useless.
        timeout: Seconds, on the monotonic clock.
        stage: Shows the state while waiting.
        every: Seconds between two probes.
        where: With ``log`` and ``hint``, for the error.
        log: Gives the last log lines.
        hint: The command that helps.

    Raises:
        PartTooSlow: After ``timeout`` seconds, with the last state seen.
    """
    shown = time.monotonic()
    deadline = shown + timeout
    while True:
        seen = probe()
        if not isinstance(seen, NotYet):
            return seen
        now = time.monotonic()
        if now >= deadline:
            slow = f"Waited {timeout:g} s for {what}."
            raise PartTooSlow(slow, where=where, state=seen.state, log=log(), hint=hint)
        if stage and now - shown >= 1.0:
            stage.waiting(f"waiting for {what}: {seen.state}")
            shown = now
        time.sleep(min(every, max(0.0, deadline - now)))
