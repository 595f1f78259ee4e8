"""What an OpenAI-compatible endpoint says: its models, one chat, one tool call, a refusal."""

from __future__ import annotations

from typing import Any

from workshop import http
from workshop.errors import EndpointError
from workshop.target import Endpoint

COMPLETIONS = "/v1/chat/completions"

PATIENCE = 30.0
"""Seconds for the user's own endpoint to list its models: it runs already, or it does not."""

THOUGHT = 512
"""Tokens for an answer in the checks: models that think before they answer need some."""


def names(endpoint: Endpoint, timeout: float = PATIENCE) -> list[str]:
    """The models that it lists, at least one.

    Raises:
        EndpointError: It does not answer, serves none, or is no OpenAI-compatible endpoint.
    """
    try:
        found = http.call(endpoint, "/v1/models", timeout=timeout).json
        listed = [str(model["id"]) for model in found["data"]]
    except (KeyError, TypeError) as error:
        raise _not_openai(endpoint, "/v1/models", "its answer lists no models") from error
    except EndpointError as error:
        # A connection that broke says nothing about what listens there.
        if error.kind in ("protocol", "not found") and error.state.startswith("HTTP"):
            raise _not_openai(endpoint, "/v1/models", error.state) from error
        raise
    if not listed:
        raise EndpointError(
            "The endpoint serves no model.",
            where=f"{endpoint.url}/v1/models",
            state="the list is empty",
            hint="load a model into its server, then run 02_serve_model again",
        ).of_kind("not found")
    return listed


def context(endpoint: Endpoint, name: str) -> int:
    """How many tokens a model reads at once, where its server tells, as vLLM does; else 0."""
    found = http.call(endpoint, "/v1/models", timeout=PATIENCE).json
    listed = found.get("data") if isinstance(found, dict) else None
    for entry in listed or []:
        if isinstance(entry, dict) and entry.get("id") == name:
            return int(entry.get("max_model_len") or 0)
    return 0


def _not_openai(endpoint: Endpoint, path: str, state: str) -> EndpointError:
    return EndpointError(
        "This is not an OpenAI-compatible endpoint.",
        where=endpoint.url + path,
        state=state,
        hint="MODEL_URL is the address before /v1/chat/completions, and no login page may stand "
        "before it",
    ).of_kind("not found")


def complete(endpoint: Endpoint, name: str, question: str, **options: Any) -> dict[str, Any]:
    """The message that answers a question; ``options`` go into the request.

    Raises:
        EndpointError: It does not answer, or not as an OpenAI-compatible endpoint does.
    """
    body = {
        "model": name,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": THOUGHT,
        **options,
    }
    answer = http.call(endpoint, COMPLETIONS, json=body, timeout=180).json
    try:
        return dict(answer["choices"][0]["message"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _not_openai(endpoint, COMPLETIONS, "its answer has no choices") from error


def text(message: dict[str, Any]) -> str:
    """A message's text, in one line."""
    return " ".join(str(message.get("content") or "").split())


def refusal(endpoint: Endpoint, name: str) -> str:
    """What it says to who has no token."""
    body = {"model": name, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    try:
        reply = http.call(endpoint, COMPLETIONS, json=body, authorize=False, timeout=60)
    except EndpointError as error:
        return f"{error.kind} ({error.state.split(':')[0]})"
    return f"HTTP {reply.status}"


_TOOL = {
    "type": "function",
    "function": {
        "name": "count_documents",
        "description": "Counts the documents in a collection",
        "parameters": {
            "type": "object",
            "properties": {"collection": {"type": "string"}},
            "required": ["collection"],
        },
    },
}


def tool_call(endpoint: Endpoint, name: str) -> str:
    """The call that it makes when it is asked for one, or what it says in its place."""
    question = "How many documents are in the collection incidents? Call count_documents."
    try:
        message = complete(endpoint, name, question, tools=[_TOOL])
    except EndpointError as error:
        if error.kind in ("protocol", "server error"):
            # Servers that were started without tool calling say so in this way.
            return error.state
        raise
    calls = message.get("tool_calls") or []
    if not calls:
        return f"no tool call, but text: {text(message)[:80]}"
    try:
        return f"{calls[0]['function']['name']} {calls[0]['function']['arguments']}"
    except (KeyError, TypeError) as error:
        raise _not_openai(endpoint, COMPLETIONS, "its tool call has no function") from error
