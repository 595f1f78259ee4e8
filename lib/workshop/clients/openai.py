"""What an OpenAI-compatible endpoint says: its models, one chat, one tool call, a refusal."""

import json as json_codec
from collections.abc import Mapping
from typing import Any

from workshop.clients import http
from workshop.core.errors import EndpointError
from workshop.core.secret import mask
from workshop.targets.base import Endpoint

COMPLETIONS = "/v1/chat/completions"
ELSEWHERE = "/version"  # A harmless path that vLLM answers without its key (0.21 to 0.33).
PATIENCE = 30.0  # Seconds for the user's own endpoint to list its models: it runs, or it does not.
THOUGHT = 512  # Tokens for an answer in the checks: models that think before they answer need some.
MORE = 4096  # Tokens for a second try, when thinking took all of the first.
ANSWER_SECONDS = 180


def ask(
    endpoint: Endpoint,
    path: str,
    *,
    json: Mapping[str, Any] | None = None,
    timeout: float = PATIENCE,
    authorize: bool = True,
) -> Any:
    """The JSON of an answer, as ``http.call`` asks for it; an error in it is raised.

    A gateway sends HTTP 200 before the model is asked; what goes wrong then stands in the body, or
    in the choice (https://openrouter.ai/docs/api-reference/errors).
    """
    reply = http.call(endpoint, path, json=json, timeout=timeout, authorize=authorize)
    body = reply.json
    if not (said := _error_in(body)):
        return body
    message, code = said, ""
    if isinstance(said, dict):
        message, code = said.get("message") or said, str(said.get("code"))
    quoted = message if isinstance(message, str) else json_codec.dumps(message)
    status = int(code) if code.isdecimal() and 400 <= int(code) < 600 else 500
    shown = " ".join(mask(quoted, reply.secrets).split())[:300]
    state = f"HTTP {reply.status}, and in it an error: {shown}"
    raise http.refused_with(reply.url, status, quoted).but(state=state)


def _error_in(body: Any) -> Any:
    if not isinstance(body, dict):
        return None
    if body.get("object") == "error":
        return body
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    inside = first.get("error") if isinstance(first, dict) else None
    return body.get("error") or body.get("errors") or inside


def names(endpoint: Endpoint, timeout: float = PATIENCE) -> list[str]:
    """The models that it lists, at least one."""
    try:
        found = ask(endpoint, "/v1/models", timeout=timeout)
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
    found = ask(endpoint, "/v1/models")
    listed = (found.get("data") if isinstance(found, dict) else None) or []
    mine = (one for one in listed if isinstance(one, dict) and one.get("id") == name)
    return int(next(mine, {}).get("max_model_len") or 0)


def _not_openai(endpoint: Endpoint, path: str, state: str) -> EndpointError:
    return EndpointError(
        "This is not an OpenAI-compatible endpoint.",
        where=endpoint.url + path,
        state=state,
        hint="MODEL_URL is the address before /v1/chat/completions, and no login page may come "
        "before it",
    ).of_kind("not found")


def complete(
    endpoint: Endpoint, name: str, question: str, *, max_tokens: int = THOUGHT, **options: Any
) -> dict[str, Any]:
    """The message that answers a question; raises also where the model only thought.

    Asked again with ``MORE`` tokens when thinking took all. ``options`` go into the request.
    """
    messages = [{"role": "user", "content": question}]
    body = {"model": name, "messages": messages, "temperature": 0, **options}
    message, ending = _message(endpoint, {**body, "max_tokens": max_tokens})
    tokens, also = max_tokens, ""
    if ending == "length" and _silent(message):
        try:
            message, ending = _message(endpoint, {**body, "max_tokens": MORE})
            tokens = MORE
        except EndpointError as error:
            also = f"; asked with {MORE}: {error.what} {error.state}".rstrip()
    # vLLM names the field in two ways, or thoughts stand in the text.
    fields = (message.get(name) for name in ("reasoning_content", "reasoning", "content"))
    thoughts = " ".join(str(next(filter(None, fields), "")).split())
    if not _silent(message) or (ending != "length" and not thoughts):
        return message
    what = "The model gave thoughts, and no answer."
    state = f"finish_reason {ending}"
    hint = (
        "its server mistakes the answer for thoughts: start it with the reasoning parser of this "
        "model (vLLM: --reasoning-parser), or with thinking switched off"
    )
    if ending == "length":
        what = "Thinking took all of the model's tokens, and it gave no answer."
        state = f"{tokens} tokens"
        hint = (
            "serve this model with thinking switched off, or with less of it (vLLM: "
            """--default-chat-template-kwargs '{"enable_thinking": false}'), or choose one that """
            "thinks less"
        )
    shown = f"it thought: {thoughts[:120]}" if thoughts else "its thoughts are not shown"
    state = f"{state}; {shown}{also}"
    raise EndpointError(what, where=endpoint.url + COMPLETIONS, state=state, hint=hint)


def _message(endpoint: Endpoint, body: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The first choice's message, and why it ended."""
    answer = ask(endpoint, COMPLETIONS, json=body, timeout=ANSWER_SECONDS)
    try:
        choice = answer["choices"][0]
        message, ending = dict(choice["message"]), str(choice.get("finish_reason"))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise _not_openai(endpoint, COMPLETIONS, "its answer has no choices") from error
    if ending == "abort":
        # So vLLM ends what it still answers when it is stopped: with status 200, in mid-sentence.
        raise EndpointError(
            "The server stopped in the middle of its answer.",
            where=endpoint.url + COMPLETIONS,
            state=f"finish_reason abort, after: {text(message)[:80]}",
            hint="it was being stopped: wait until it runs again, then run this cell again",
        ).of_kind("busy")
    return message, ending


def _silent(message: dict[str, Any]) -> bool:
    return not text(message) and not message.get("tool_calls")


def text(message: dict[str, Any]) -> str:
    """A message's text in one line, without the thoughts that a server left in it."""
    said = str(message.get("content") or "").rpartition("</think>")[2]
    return "" if said.lstrip().startswith("<think>") else " ".join(said.split())


def refusal(endpoint: Endpoint, name: str) -> str:
    """What it says to who has no token."""
    body = {"model": name, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    return _said(endpoint, COMPLETIONS, json=body, authorize=False)


def elsewhere(endpoint: Endpoint) -> str:
    """What it says at a path that is none of the API's.

    vLLM's key guards its API alone: other paths answer everybody, if nothing stands before it.
    """
    return _said(endpoint, ELSEWHERE)


def _said(endpoint: Endpoint, path: str, **options: Any) -> str:
    try:
        ask(endpoint, path, timeout=60, **options)
    except EndpointError as error:
        return f"{error.kind} ({error.state.split(':')[0]})"
    return "HTTP 200"


_COLLECTION = {"type": "object", "properties": {"collection": {"type": "string"}}}
_FUNCTION = {
    "name": "count_documents",
    "description": "Counts the documents in a collection",
    "parameters": _COLLECTION | {"required": ["collection"]},
}
_TOOL = {"type": "function", "function": _FUNCTION}


def tool_call(endpoint: Endpoint, name: str) -> str:
    """The call that it makes when it is asked for one, or what it says in its place."""
    question = "How many documents are in the collection incidents? Call count_documents."
    try:
        message = complete(endpoint, name, question, tools=[_TOOL])
    except EndpointError as error:
        if error.kind in ("protocol", "server error") and error.state.startswith("HTTP"):
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
