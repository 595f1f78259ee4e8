"""Talks MCP with a server, and says in plain words why it cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workshop.clients import http
from workshop.core.errors import EndpointError
from workshop.targets.base import Endpoint

if TYPE_CHECKING:
    import httpx

CALL_TIMEOUT = 60.0  # Seconds that a tool may take: one whose database is away says so after 30.
PROTOCOL = "2025-11-25"
"""The revision that Llama Stack 0.7.3 and OGX 1.5.0 offer, so the one that the agent will use: the
newest with sessions, of their ``mcp`` 1.30 and 2.3's ``ClientSession``. MCP server 3.0.4 speaks it,
those before it, and 2026-07-28, which has no sessions."""


@dataclass(frozen=True)
class Tool:
    """A tool as the server describes it."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What a tool gave back, and whether the server calls that a failure."""

    text: str
    failed: bool

    def __repr__(self) -> str:
        return f"failed: {self.text}" if self.failed else self.text


WRAPPED = re.compile(r"<(untrusted-user-data-[\w-]+)>\n(.*?)\n</\1>", re.DOTALL)
WARNING = "The following section contains"  # How MCP server 3.x says that what comes is data.


def unwrap(text: str) -> tuple[str, str]:
    """A tool's own words, and the data that it gave, or "".

    MCP server 3.x wraps data in ``<untrusted-user-data-...>`` tags between two warnings, so that a
    model does not follow instructions that stand in the data.
    """
    found = WRAPPED.search(text)
    if found is None:
        return text, ""
    return text[: found.start()].partition(WARNING)[0].strip(), found.group(2).strip()


def json_in(text: str) -> Any:
    """The data in a tool's result; ``ValueError`` where there is none."""
    said, data = unwrap(text)
    for line in (data or said).splitlines():
        if line.startswith(("{", "[")):
            return json.loads(line)
    raise ValueError("no JSON in the tool's result")


_US = {"name": "workshop", "version": "1"}
_PARAMETERS = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": _US}
_HELLO = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": _PARAMETERS}
HEADERS = {"accept": "application/json, text/event-stream"}
OLDER = (
    "the path is /mcp, by POST; a server that answers only at /sse speaks an older transport: run "
    "05_deploy_mcp_server, which brings a newer one"
)
"""The hint where something else listens, or an MCP server from before 2025-03-26."""


def initialize(endpoint: Endpoint, path: str) -> str:
    """Offer ``PROTOCOL``, as one plain request; gives the revision that the server chose.

    One request tells refused, 401, 404 and a wrong protocol apart, where a client library reports
    an error in a task group.
    """
    with _begun(endpoint, path, 10) as (_, chosen):
        return chosen


@contextmanager
def plain_session(endpoint: Endpoint, path: str) -> Iterator[Callable[[str, Any], Result]]:
    """What calls a tool, by plain requests: for many calls, whose time should be the server's."""
    with _begun(endpoint, path, CALL_TIMEOUT) as (post, _):

        def call(name: str, arguments: Any) -> Result:
            params = {"name": name, "arguments": arguments}
            body = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
            result = _message(post(body).text, endpoint.url + path)["result"]
            text = "\n".join(part.get("text", "") for part in result["content"])
            return Result(text, bool(result.get("isError")))

        post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        yield call


@contextmanager
def _begun(
    endpoint: Endpoint, path: str, timeout: float
) -> Iterator[tuple[Callable[[Any], httpx.Response], str]]:
    """A session: what posts a message in it, and the revision that the server chose for it."""
    import httpx

    url = endpoint.url + path
    with http.client(endpoint, timeout) as client:
        client.headers.update(http.headers(endpoint) | HEADERS)

        def post(body: Any) -> httpx.Response:
            try:
                answer = client.post(url, json=body)
            except httpx.HTTPError as error:
                raise http.unreachable(url, error, timeout) from error
            if answer.status_code < 400:
                return answer
            refused = http.refused_with(url, answer.status_code, answer.text)
            raise refused.but(hint=OLDER) if answer.status_code in (404, 405, 406) else refused

        answer = post(_HELLO)
        chosen = re.search(r'"protocolVersion":\s*"([^"]*)"', answer.text)
        session = answer.headers.get("mcp-session-id")
        if session:
            client.headers["mcp-session-id"] = session
        try:
            if chosen is None:
                raise EndpointError(
                    "This is not an MCP server's streamable HTTP endpoint.",
                    where=url,
                    state=answer.text[:200],
                    hint="the path is /mcp, not /sse",
                ).of_kind("protocol")
            client.headers["mcp-protocol-version"] = chosen.group(1)
            yield post, chosen.group(1)
        finally:
            if session:
                # The server keeps a session, and a database connection for it, until told.
                with suppress(httpx.HTTPError):
                    client.delete(url)


def revision(endpoint: Endpoint, path: str) -> str:
    """The revision that the kit's own client and the server agree on."""

    async def ask(session: Any) -> str:
        return str(session.protocol_version)

    return _with_session(endpoint, path, ask)


def list_tools(endpoint: Endpoint, path: str) -> list[Tool]:
    """The tools that the server offers."""
    listed = _with_session(endpoint, path, lambda session: session.list_tools())
    return [Tool(one.name, one.description or "", one.input_schema) for one in listed.tools]


def call_tool(endpoint: Endpoint, path: str, name: str, arguments: dict[str, Any]) -> Result:
    """Call one tool."""
    result = _with_session(endpoint, path, lambda session: session.call_tool(name, arguments))
    text = "\n".join(getattr(part, "text", "") for part in result.content)
    return Result(text, bool(result.is_error))


def _message(text: str, url: str) -> dict[str, Any]:
    """The answer in a body of JSON, or of server-sent events."""
    for line in text.splitlines():
        if line.startswith(("{", "data: {")):
            message: dict[str, Any] = json.loads(line.removeprefix("data: "))
            if "result" in message:
                return message
    raise EndpointError("The tool gave no result.", where=url, state=text[:300]).of_kind("protocol")


def _with_session[T](endpoint: Endpoint, path: str, ask: Callable[[Any], Awaitable[T]]) -> T:
    import asyncio  # so that what only names a tool's result waits for no event loop

    async def run() -> T:
        import httpx2
        import mcp
        from mcp.client.streamable_http import streamable_http_client

        async with (
            httpx2.AsyncClient(
                headers=http.headers(endpoint),
                verify=http.tls(endpoint),
                trust_env=False,
                # The default is 5 seconds of silence, less than a slow tool needs.
                timeout=CALL_TIMEOUT,
            ) as transport,
            mcp.Client(
                streamable_http_client(endpoint.url + path, http_client=transport),
                read_timeout_seconds=CALL_TIMEOUT,
            ) as session,
        ):
            return await ask(session)

    try:
        # A notebook has an event loop of its own, in which asyncio.run refuses to run.
        with ThreadPoolExecutor(1) as worker:
            return worker.submit(lambda: asyncio.run(run())).result()
    except Exception as error:
        # One plain request finds the reason, if the server is the reason.
        initialize(endpoint, path)
        first: BaseException = error
        # A task group only counts its errors; the reason is within.
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise _broken(endpoint.url + path, first) from error


def _broken(url: str, error: BaseException) -> EndpointError:
    what, hint = "The connection to the MCP server broke.", "workshop logs mcp-server"
    if "session" in str(error).lower():
        what = "The MCP server does not know the session that it has just started."
        hint = (
            "a session is in one process's memory: another one answered, or it was restarted; run "
            "05_deploy_mcp_server again (on a cluster its Service needs sessionAffinity ClientIP)"
        )
    state = f"{type(error).__name__}: {error}"
    return EndpointError(what, where=url, state=state, hint=hint)
