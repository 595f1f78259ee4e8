"""The MCP server, made known to OGX or Llama Stack in the way that its version has.

Both take an MCP server with each request to ``/v1/responses``: its URL, its credential and the
tools that the agent may call. A server whose own configuration names the MCP server, as a
connector, is asked by the connector's name where it hands the credential on. OGX 1.5 and Llama
Stack 0.7 do not when they look it up (``resolve_mcp_connector_id`` in their ``streaming.py``), so
there the URL is used.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from workshop import chat, clients, http, llama_stack, mcp_client, mcp_server, model
from workshop.checks import Checks
from workshop.errors import EndpointError, SettingsError, StepMissing
from workshop.progress import stages
from workshop.target import Target

FACT = "registered tools"
CONNECTORS = ("/v1alpha/admin/connectors", "/v1alpha/connectors")
"""Where OGX 1.5, and before it Llama Stack 0.7, list what their configuration names."""

LABEL = "mongodb"
ALLOWED = ("list-collections", "count", "find", "aggregate")
"""What the agent may call. All 13 tools are 40 kB of schemas: 11,000 tokens before a question."""

BYTES_A_TOKEN = 3.6
"""Of schemas in JSON, by that figure."""


@dataclass(frozen=True)
class Registration:
    """What was registered: the MCP server's label, its URL, the allowed tools.

    ``connector`` is its name in the configuration of OGX or Llama Stack; "" where the URL is given.
    """

    label: str
    url: str
    tools: tuple[str, ...]
    connector: str = ""


def register_mcp_server(target: Target, *, tools: tuple[str, ...] = ALLOWED) -> Registration:
    """Keep how Llama Stack reaches the MCP server, and which tools the agent may call.

    Raises:
        StepMissing: Llama Stack or the MCP server does not run.
    """
    with stages("Registration") as stage:
        target.find(llama_stack.PART)
        endpoint = target.find(mcp_server.PART)
        found = Registration(LABEL, endpoint.peer_url + mcp_server.PATH, tuple(tools))
        _keep(target, found)
        for connector in _connectors(target, found.url):
            by_name = replace(found, connector=connector)
            _keep(target, by_name)
            if _lists_tools(target):
                found = by_name
                break
            stage(f"the connector {connector} does not hand the credential on: its URL is given")
            _keep(target, found)
        stage(f"{found.label} at {found.connector or found.url}: {', '.join(tools)}")
        return found


def _keep(target: Target, found: Registration) -> None:
    kept = [found.label, found.url, list(found.tools), found.connector]
    target.remember(FACT, json.dumps(kept))


def _connectors(target: Target, url: str) -> list[str]:
    """The names by which the server's own configuration knows this MCP server."""
    endpoint, listed = target.find(llama_stack.PART), []
    for path in CONNECTORS:
        with suppress(EndpointError):
            listed += http.call(endpoint, path, timeout=10).json["data"]
    return [str(one["connector_id"]) for one in listed if one["url"].rstrip("/") == url]


def _lists_tools(target: Target) -> bool:
    try:
        return bool(listed_by_llama_stack(target))
    except EndpointError:
        return False


def verify_registration(target: Target) -> Checks:
    """Prove that Llama Stack itself lists the server's tools, and exactly the allowed ones.

    Raises:
        CheckFailed: It does not.
        StepMissing: The server was not registered.
    """
    registration = registered(target)
    checks = Checks("Registration")
    checks.equal(
        "Llama Stack lists the allowed tools",
        ", ".join(sorted(registration.tools)),
        lambda: ", ".join(sorted(listed_by_llama_stack(target))),
        hint="run 05_deploy_mcp_server, then 06_register_mcp_server again",
    )
    return checks.raise_if_failed()


def registered(target: Target) -> Registration:
    """What was registered.

    Raises:
        StepMissing: Nothing was.
    """
    kept = target.recall(FACT)
    if kept is None:
        raise StepMissing(
            "The MCP server was not registered yet.", hint="run 06_register_mcp_server first"
        )
    label, url, tools, *connector = json.loads(kept)
    return Registration(label, url, tuple(tools), *connector)


def tool(target: Target) -> dict[str, Any]:
    """The MCP server as ``/v1/responses`` takes it. Holds the shared secret: never show it."""
    registration, endpoint = registered(target), target.find(mcp_server.PART)
    by_url = {"server_url": endpoint.peer_url + mcp_server.PATH}
    found = {
        "type": "mcp",
        "server_label": registration.label,
        **({"connector_id": registration.connector} if registration.connector else by_url),
        "require_approval": "never",
        "allowed_tools": list(registration.tools),
    }
    if endpoint.token:
        found["authorization"] = endpoint.token.reveal()
    return found


def listed_by_llama_stack(target: Target) -> list[str]:
    """The tools that Llama Stack finds at the registered server, by a request that it streams.

    Raises:
        EndpointError: Llama Stack cannot list them; says whether the MCP server is the reason.
    """
    endpoint = target.find(llama_stack.PART)
    client = clients.client(endpoint)
    try:
        events = client.responses.create(
            model=llama_stack.model_id(target),
            input="Hello.",
            tools=[tool(target)],
            stream=True,
            store=False,
        )
        # The list comes before the model is asked, so there is no need to wait for the answer.
        with events:
            for event in events:
                item = getattr(event, "item", None)
                if getattr(item, "type", "") == "mcp_list_tools" and getattr(item, "tools", None):
                    return [str(found.name) for found in getattr(item, "tools", [])]
    except clients.api_error(client) as error:
        _blame_mcp_server(target)
        what = "Llama Stack could not list the MCP server's tools."
        if getattr(error, "status_code", None) == 404:
            raise EndpointError(
                what,
                where=f"{endpoint.url}/v1/responses",
                state="HTTP 404: this server has no Responses API",
                hint="run 03_deploy_llama_stack again, then 06: it brings a server that has it; "
                "of older ones, and of the Agents API that they had, the kit asks nothing",
            ) from error
        told = clients.explained(error, endpoint, what)
        raise clients.with_log(told, target, llama_stack.PART) from error
    _blame_mcp_server(target)
    raise EndpointError(
        "Llama Stack listed no tools.", where=endpoint.url, hint="workshop logs llama-stack"
    )


def fit(target: Target) -> None:
    """See that the allowed tools leave the model room, where it tells how much it reads.

    Raises:
        SettingsError: Their schemas take more than half of its context.
        EndpointError: The model or the MCP server does not answer.
    """
    context = chat.context(target.find(model.PART), model.model_name(target))
    offered = mcp_client.list_tools(target.find(mcp_server.PART), mcp_server.PATH)
    allowed = registered(target).tools
    shown = [(t.name, t.description, t.parameters) for t in offered if t.name in allowed]
    tokens = round(len(json.dumps(shown)) / BYTES_A_TOKEN)
    if context and tokens > context / 2:
        raise SettingsError(
            "The tools take the room that the model needs for the question and its answer.",
            state=f"{len(shown)} tools are about {tokens} of the {context} tokens that it reads",
            hint=f"run 06_register_mcp_server with {', '.join(ALLOWED)} alone, or 02_serve_model "
            "with a model that reads more",
        )


def _blame_mcp_server(target: Target) -> None:
    """Raise the MCP server's own error if it is the reason: Llama Stack only says 500."""
    mcp_client.initialize(target.find(mcp_server.PART), mcp_server.PATH)
