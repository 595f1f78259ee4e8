"""What a response of ``/v1/responses`` holds: the text, the tool calls, the error."""

from __future__ import annotations

import json
from typing import Any

from workshop.agent.answer import ToolCall
from workshop.agent.proof import proof, repeating
from workshop.clients import llama_stack
from workshop.core.errors import EndpointError


def read(response: Any, store: str = "") -> tuple[str, tuple[ToolCall, ...]]:
    """The answer's text, and the tool calls in it, in the order in which they were made.

    Args:
        response: As the client gives it.
        store: The kind of the vector store, which tells what a score means; "" for any other.
    """
    texts, calls = [], []
    for item in response.output:
        if item.type == "mcp_call":
            failure = getattr(item, "error", None)
            output = str(item.output or "")
            calls.append(
                ToolCall(item.name, _json(item.arguments), not failure, output or str(failure))
            )
        elif item.type == "function_call":
            # The agent has no functions of its own: the model made this tool up.
            calls.append(ToolCall(item.name, _json(item.arguments), False, proof.NO_TOOL))
        elif item.type == "file_search_call":
            hits = item.results or []
            ok = item.status == "completed"
            queries = {"queries": list(item.queries)}
            found, near = (
                json.dumps([llama_stack.field_of(hit, "text") for hit in hits]),
                llama_stack.nearness(hits, store),
            )
            calls.append(ToolCall(repeating.FILE_SEARCH, queries, ok, found, nearness=near))
        elif item.type == "message":
            texts += [part.text for part in item.content if getattr(part, "text", None)]
    return " ".join(texts).strip(), tuple(calls)


def cut(response: Any, rounds: int) -> str:
    """Why the answer ended before it was complete; "" when it is complete.

    Args:
        response: As the client gives it.
        rounds: How often the model may call a tool.
    """
    if getattr(response, "status", "") != "incomplete":
        return ""
    reason = str(getattr(response.incomplete_details, "reason", None) or "for no given reason")
    if reason == "max_iterations_exceeded":
        return f"the model was still calling tools after {rounds} rounds"
    if reason in ("length", "max_output_tokens"):
        used = getattr(response.usage, "output_tokens", None)
        tokens = response.max_output_tokens or used
        return f"the answer was cut at {tokens} tokens" if tokens else "the answer was cut"
    return f"the answer is incomplete: {reason}"


def failed(response: Any, what: str, url: str) -> EndpointError:
    """The error of a response whose status is ``failed``."""
    error = getattr(response, "error", None)
    return EndpointError(
        what,
        where=url,
        state=str(getattr(error, "message", error)),
        hint="workshop logs llama-stack; workshop logs model",
    ).of_kind("server error")


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {"arguments": text}
    return found if isinstance(found, dict) else {"arguments": found}
