"""The part that is the reason when the agent gets no answer: Llama Stack only says that one failed.

Looks at what runs and asks the MCP server, in milliseconds; ``diagnosis`` asks every part.
"""

from __future__ import annotations

from contextlib import suppress

from workshop import mcp_client, mcp_server, mongodb
from workshop.errors import EndpointError, PartTooSlow, StepMissing, WorkshopError
from workshop.steps import PROCESSES, WATCHERS
from workshop.target import Target
from workshop.wait import NotYet, wait_for

LATE = 2.0
"""Seconds for which a part that ended may still look as if it ran, to those whose request it broke
off: a process closes its connections before it is over (by 25 ms, seen on two busy cores), and a
cluster tells of a pod up to a second later."""


def of(target: Target, has_database: bool, *, late: float = 0.0) -> WorkshopError | None:
    """The part that ended, or else that refuses the agent; None when there is none.

    Args:
        target: Where the parts run.
        has_database: Whether the agent needs the database and its tools.
        late: Seconds for which to look for one that ended: ``LATE`` after a broken request.
    """

    def look() -> WorkshopError | NotYet:
        return ended(target, has_database) or NotYet("all parts run")

    with suppress(PartTooSlow):
        return wait_for("a part that ended", look, timeout=late, every=0.05)
    return _refusing(target) if has_database else None


def ended(target: Target, has_database: bool) -> WorkshopError | None:
    """The part that does not run any more, of those that an answer needs."""
    unused = () if has_database else (mongodb.PART, mcp_server.PART)
    for part in PROCESSES:
        try:
            if part not in unused and part not in WATCHERS:
                moved = target.recall(mongodb.MOVED) if part == mongodb.PART else None
                target.find(moved or part)
        except StepMissing as missing:
            return missing
    return None


def named[E: WorkshopError](error: E, found: WorkshopError) -> E:
    """The error with the culprit's place, state, log and hint."""
    return type(error)(
        error.what,
        where=found.where,
        state=f"{found.what} {found.state}; {error.state}",
        log=found.log,
        hint=found.hint,
    )


def _refusing(target: Target) -> WorkshopError | None:
    try:
        mcp_client.initialize(target.find(mcp_server.PART), mcp_server.PATH)
    except EndpointError as error:
        hint = "run 05_deploy_mcp_server and 06_register_mcp_server again"
        return EndpointError(
            f"The MCP server: {error.what}", where=error.where, state=error.state, hint=hint
        )
    return None
