"""The part that is the cause when the agent gets no answer: Llama Stack only says that one failed.

Looks at what runs and asks the MCP server, in milliseconds; the doctor asks every part.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from workshop.agent.answer import FILE_SEARCH, ToolCall
from workshop.agent.proof.evidence import chunks
from workshop.clients import mcp
from workshop.core.errors import EndpointError, PartTooSlow, StepMissing, WorkshopError
from workshop.core.wait import NotYet, wait_for
from workshop.parts import llama_stack, mcp_server, mongodb, runbooks
from workshop.parts.catalog import ALL
from workshop.targets.base import Endpoint, Target

LATE = 2.0
"""Seconds for which a part that ended may still look as if it ran: a process closes its connections
before it is over (by 25 ms, on two busy cores), a cluster tells of a pod up to a second later."""

HIDDEN = re.compile(r"Error \(code -?\d+\): None")
"""All that Llama Stack 0.7.3 and OGX 1.5.0 say of an MCP call that failed."""

LACKS = re.compile(r"(\$\w+)\W+is not implemented")
"""How FerretDB refuses an operator that it does not have."""


def of(target: Target, has_database: bool, *, late: float = 0.0) -> WorkshopError | None:
    """The part that ended, looked for ``late`` seconds, or else that refuses the agent."""

    def look() -> WorkshopError | NotYet:
        return ended(target, has_database) or NotYet("all parts run")

    with suppress(PartTooSlow):
        return wait_for("a part that ended", look, timeout=late, every=0.05)
    if has_database:
        try:
            mcp.initialize(target.find(mcp_server.PART), mcp_server.PATH)
        except EndpointError as error:
            hint = "run 05_deploy_mcp_server and 06_register_mcp_server again"
            return error.but(what=f"The MCP server: {error.what}", hint=hint)
    return None


def ended(target: Target, has_database: bool) -> WorkshopError | None:
    """The part that does not run any more, of those that an answer needs."""
    needed = ("answers", "data") if has_database else ("answers",)
    for spec in ALL:
        try:
            if spec.serves in needed:
                moved = target.store.recall(mongodb.MOVED) if spec is mongodb.SPEC else None
                target.find(moved or spec.name)
        except StepMissing as missing:
            return missing
    return None


def explained(
    target: Target, calls: Sequence[ToolCall], tools: Sequence[dict[str, Any]]
) -> tuple[ToolCall, ...]:
    """The agent's calls, each that failed with the reason that Llama Stack and OGX leave out.

    An MCP call is made again for it, if it only reads. A search in a vector store that is gone is
    to them one that found nothing; here it has failed.
    """
    stores = [store for tool in tools for store in tool.get("vector_store_ids", ())]
    return tuple(
        _search(target, call, stores) if call.name == FILE_SEARCH else _mcp(target, call)
        for call in calls
    )


def _search(target: Target, call: ToolCall, stores: Sequence[str]) -> ToolCall:
    if not call.ok or chunks(call.result):
        return call
    gone = [one for one in stores if not runbooks.exists(target.find(llama_stack.PART), one)]
    if not gone:
        return call
    said = f"the vector store {', '.join(gone)} is no longer there"
    hint = "run 03_deploy_llama_stack again: it loads the runbooks; then create the agent again"
    return replace(call, ok=False, result=said, hint=hint)


def _mcp(target: Target, call: ToolCall) -> ToolCall:
    hidden = not call.ok and HIDDEN.fullmatch(call.result.strip())
    if not hidden or call.name not in mcp_server.ALLOWED:
        return call
    try:
        database, server = mongodb.find(target), target.find(mcp_server.PART)
        again = mcp.call_tool(server, mcp_server.PATH, call.name, dict(call.arguments))
        hint = _lack(database, again.text)
    except WorkshopError as error:
        return replace(call, result=f"{error.what} {error.state}".strip(), hint=error.hint)
    if not again.failed:
        said = f"{call.result}; the same call, made again, succeeds"
        return replace(call, result=said, hint="ask again", made=2)
    return replace(call, result=again.text, hint=hint, made=2)


def _lack(endpoint: Endpoint, said: str) -> str:
    """What to do about a failed call when the database lacks an operator; else ""."""
    if not (found := LACKS.search(said)):
        return ""
    with mongodb.connected(endpoint) as database:
        name = mongodb.product(database)
    return f"this database ({name}) has no {found.group(1)}: docs/databases.md says how to go on"
