"""llama-stack-client, for Llama Stack and OGX of any version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workshop.clients import http
from workshop.core.errors import LOG_LINES, EndpointError, WorkshopError
from workshop.core.secret import Secret
from workshop.targets.base import Endpoint, Target

if TYPE_CHECKING:
    import httpx

COSINES: dict[str, Callable[[float], float]] = {
    "faiss": lambda score: 1 - 1 / (2 * score),
    "pgvector": lambda score: 1 - 1 / score,
    "milvus": lambda score: score,
}
"""How near a hit is, as the cosine of the angle between its vector and the question's, by store.

The scores differ in kind: on FAISS they are 1 / squared distance, on pgvector 1 / cosine distance,
and Milvus gives the cosine (ogx 1.5.0 and llama-stack 0.7.3, ``query_vector`` in
providers/.../vector_io). The embedder's vectors have the length 1. A perfect hit has no score.
"""

SERVERS = "workshop logs llama-stack; workshop logs model"
TIMEOUT = 300.0  # Seconds for one request: a small model on two cores reads 58 tokens a second.


def server_version(endpoint: Endpoint) -> str:
    """The version that Llama Stack or OGX says it has."""
    # Not a shorter patience than elsewhere: a request that failed within the server, as one for a
    # vector store that is gone, is printed as a coloured traceback before anybody else is answered:
    # 3 s on two idle cores, above 10 s on busy ones (llama-stack 0.7.3, ogx 1.5.0, rich).
    found = http.call(endpoint, "/v1/version").json
    version = found.get("version") if isinstance(found, dict) else None
    if not version:
        raise EndpointError(
            "The server does not say which version it is.",
            where=f"{endpoint.url}/v1/version",
            state=str(found)[:200],
            hint="run 03_deploy_llama_stack",
        )
    return str(version)


def client(endpoint: Endpoint) -> Any:
    """A client with ``vector_stores`` and ``files``; for responses see ``events``."""
    import httpx
    from llama_stack_client import LlamaStackClient

    token = endpoint.token or Secret("none")
    # No retries: an answer that takes minutes is not made faster by asking twice.
    options: Any = {"timeout": TIMEOUT, "max_retries": 0, "api_key": token.reveal()}
    # A kernel outlives its questions: no connection is kept open between them.
    limits = httpx.Limits(max_keepalive_connections=0)
    hooks = {"request": [_without_version], "response": [_no_page]}
    options["http_client"] = http.client(endpoint, TIMEOUT, limits=limits, event_hooks=hooks)
    return LlamaStackClient(base_url=endpoint.url, **options)


def _without_version(request: httpx.Request) -> None:
    # Llama Stack answers 426 where this is not its own; what is asked here is the same in all.
    request.headers.pop("x-llamastack-client-version", None)


def _no_page(response: httpx.Response) -> None:
    # The client would take a login page, which comes with status 200, for what was asked for.
    kind = response.headers.get("content-type", "")
    if response.is_success and kind.startswith("text/html"):
        raise http.not_json(str(response.url), response.status_code, kind)


def events(client: Any, *, query: Mapping[str, str] | None = None, **asked: Any) -> Any:
    """The events of a response, each as a dictionary; closing them ends the model's work too.

    Not as the objects of ``client.responses``: at the first event pydantic prepares for all that a
    response may hold. In each new process that is 2 to 4 seconds of a core.
    """
    from llama_stack_client import Stream

    return client.post(
        "/v1/responses",
        cast_to=object,
        body={"stream": True, "store": False, **asked},
        options={"params": query or {}},
        stream=True,
        stream_cls=Stream[object],
    )


def api_error() -> tuple[type[Exception], ...]:
    """What the client raises: its own errors, and httpx's when a stream breaks off."""
    import httpx
    from llama_stack_client import APIError

    return APIError, httpx.HTTPError


def explained(error: Exception, endpoint: Endpoint, what: str) -> EndpointError:
    """The client's exception as the kit's own, with the reason and the next step."""
    if isinstance(error.__cause__, EndpointError):
        return error.__cause__.but(what=what)
    status = getattr(error, "status_code", None)
    if status is None:
        kind = "timeout" if "imeout" in type(error).__name__ else "refused"
        state = f"{type(error).__name__}: {error.__cause__ or error}"
        told = EndpointError(what, where=endpoint.url, state=state, hint="workshop status")
        return told.of_kind(kind)
    told = http.refused_with(endpoint.url, status, str(error))
    return told.but(what=what, hint=SERVERS if status >= 500 else told.hint)


def with_log[E: WorkshopError](error: E, target: Target, part: str) -> E:
    """The error with the end of the server's log, where it says "Internal server error" alone."""
    if getattr(error, "kind", "") != "server error" or error.log:
        return error
    with suppress(WorkshopError):
        lines = target.logs(part, lines=LOG_LINES)
        return error.but(log=[line for line in lines if line.strip()])
    return error


def telling[T](target: Target, part: str, ask: Callable[[], T]) -> Callable[[], T]:
    """The same question, whose error has the end of the server's log where the server failed."""

    def asked() -> T:
        try:
            return ask()
        except EndpointError as error:
            raise with_log(error, target, part) from error

    return asked


def nearness(hits: Sequence[Mapping[str, Any]], store: str) -> float | None:
    """How near the best hit is, 1 for the same; None where the store's scores are not known."""
    if store not in COSINES or not hits:
        return None
    scores = [hit.get("score") for hit in hits]
    return max(1.0 if score is None else COSINES[store](score) for score in scores if score != 0)
