"""What a response of ``/v1/responses`` holds: the text, the tool calls, the error."""

from __future__ import annotations

import json
from typing import Any

from workshop import proof
from workshop.answers import ToolCall
from workshop.errors import EndpointError


def read(response: Any) -> tuple[str, tuple[ToolCall, ...]]:
    """The answer's text, and the tool calls in it, in the order in which they were made."""
    texts, calls = [], []
    for item in response.output:
        if item.type == "mcp_call":
            failure = getattr(item, "error", None)
            output = str(item.output or "")
            calls.append(
                ToolCall(item.name, _json(item.arguments), not failure, output or str(failure))
            )
        elif item.type == "file_search_call":
            results = [hit.text for hit in item.results or []]
            ok = item.status == "completed"
            queries = {"queries": list(item.queries)}
            calls.append(ToolCall(proof.FILE_SEARCH, queries, ok, json.dumps(results)))
        elif item.type == "message":
            texts += [part.text for part in item.content if getattr(part, "text", None)]
    return " ".join(texts).strip(), tuple(calls)


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
