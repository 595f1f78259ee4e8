"""The official MongoDB MCP server: the tools by which an agent reads the database.

It is made known to OGX or Llama Stack in the way that its version has. Both take an MCP server with
each request to ``/v1/responses``: its URL, its credential and the tools that the agent may call. A
server whose own configuration names the MCP server, as a connector, is asked by the connector's
name where it hands the credential on. OGX 1.5 and Llama Stack 0.7 do not when they look it up
(``resolve_mcp_connector_id`` in their ``streaming.py``), so there the URL is used.
"""

import functools
import json
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from typing import Any

from workshop.clients import http, mcp, openai
from workshop.clients import llama_stack as stack_client
from workshop.core import versions
from workshop.core.checks import Checks
from workshop.core.errors import EndpointError, SettingsError, StepMissing
from workshop.core.progress import stages
from workshop.core.secret import Secret
from workshop.core.wait import NotYet, answered
from workshop.parts import llama_stack, model, mongodb
from workshop.targets.base import Deployed, Endpoint, Part, Target
from workshop.targets.spec import Page, Spec

PART = "mcp-server"
PORT, MONITORING_PORT = 3000, 3001
PATH = "/mcp"  # Where the streamable HTTP transport answers.
CREDENTIAL = "mcp secret"

DISABLED = "connect,disconnect,export,assistant,atlas"
"""Categories and names of tools that an agent for one read-only database does not need."""

WRITERS = ("insert-many", "update-many", "delete-many", "drop-collection", "create-collection")
COUNTED = "mcp_tool_execution_duration_seconds_count"  # Of its calls, on its page of metrics.

REGISTERED = "registered tools"
LABEL = "mongodb"
ALLOWED = ("list-collections", "count", "find", "aggregate")
"""What the agent may call. All 13 tools are 40 kB of schemas: 11,000 tokens before a question."""

ALWAYS = {"connectionId": versions.CONNECTION_ID, "database": mongodb.DATABASE}
"""The arguments that every call has."""

BYTES_A_TOKEN = 3.6  # Of schemas in JSON, by that figure.
CONNECTORS = ("/v1alpha/admin/connectors", "/v1alpha/connectors")
"""Where OGX 1.5, and before it Llama Stack 0.7, list what their configuration names."""


def deploy_mcp_server(target: Target, *, timeout: float = 120.0) -> Deployed:
    """Deploy the MCP server on the database of step 4: read-only, with a shared secret.

    Raises ``StepMissing`` where there is no database yet, else as ``Target.ensure``.
    """
    with stages("MCP server") as stage:
        return target.ensure(part_of(target), ready=ready, timeout=timeout, stage=stage)


def part_of(target: Target, database: Endpoint | None = None) -> Part:
    """What the server must be, on this database, or else on the one that has the documents."""
    part = Part(
        PART,
        PORT,
        settings={"read_only": True, "disabled_tools": DISABLED, "reader": mongodb.READER},
        secrets={"reader password": mongodb.password(target, mongodb.READER_CREDENTIAL)},
        extra_ports={"monitoring": MONITORING_PORT},
        credential=CREDENTIAL,
    )
    return on_database(target, part, database)


def on_database(target: Target, part: Part, database: Endpoint | None = None) -> Part:
    """This MCP server with its token, on this database, or else on the one with the documents."""
    moved = target.store.recall(mongodb.MOVED)
    token = target.store.secret(part.credential, lambda: secrets.token_urlsafe(32))
    return replace(
        part,
        # Then the driver finds the primary, wherever it is.
        settings={**part.settings, "replica_set": "rs0" if moved else ""},
        secrets={"token": token, **part.secrets},
        needs={"mongodb": database or target.find(moved or mongodb.PART)},
    )


def verify_mcp_server(target: Target) -> Checks:
    """Prove that the MCP server lists its tools, reads data, cannot write, and needs its secret.

    Raises ``CheckFailed``, or ``StepMissing`` where it does not run.
    """
    endpoint, database = target.find(PART), mongodb.find(target)
    checks = Checks("MCP server")
    checks.equal(
        "runs the version that was pinned",
        versions.MCP_SERVER,
        lambda: health(endpoint)["version"],
        hint="make setup, then run 05_deploy_mcp_server again",
    )
    tools = checks.that(
        "lists its tools",
        "find, count and list-collections among them",
        lambda: [tool.name for tool in mcp.list_tools(endpoint, PATH)],
        lambda seen: {"find", "count", "list-collections"} <= set(seen),
        show=", ".join,
    )
    writers = [name for name in tools or WRITERS if name in WRITERS]
    checks.equal("offers no tool that writes", "none", lambda: ", ".join(writers) or "none")
    checks.equal(
        "speaks the protocol revision that the agent will use",
        mcp.PROTOCOL,
        lambda: mcp.initialize(endpoint, PATH),
        hint="the server is too old or too new for Llama Stack and OGX: run "
        "05_deploy_mcp_server again",
    )
    checks.that(
        "agrees on a revision with the kit's own client",
        f"{mcp.PROTOCOL} or newer",
        lambda: mcp.revision(endpoint, PATH),
        lambda seen: seen >= mcp.PROTOCOL,
    )
    there = ", ".join(sorted(mongodb.log_in(database)))
    checks.equal("lists the collections that pymongo sees", there, lambda: _listed(endpoint))
    wrong = Secret("wrong-" + secrets.token_hex(4))
    for name, token in (("without the shared secret", None), ("a wrong secret", wrong)):
        checks.that(
            f"refuses {name}",
            "401 or 403",
            functools.partial(refusal, endpoint, token),
            lambda seen: seen.startswith("unauthorized"),
            hint="anybody who reaches it can read the database: run 05_deploy_mcp_server again, "
            "which sets MDB_MCP_HTTP_HEADERS, and give it no Route",
        )
    checks.equal("is healthy on its monitoring port", "ok", lambda: health(endpoint)["status"])
    return checks.raise_if_failed()


def list_tools(target: Target) -> list[mcp.Tool]:
    """List the tools that the MCP server offers, each with its description and parameters.

    Raises ``EndpointError`` where it does not answer, ``StepMissing`` where it does not run.
    """
    return mcp.list_tools(target.find(PART), PATH)


def call_tool(target: Target, name: str, arguments: dict[str, Any]) -> mcp.Result:
    """Call one tool of the MCP server by hand, as the agent calls it.

    Raises as ``list_tools``.
    """
    return mcp.call_tool(target.find(PART), PATH, name, arguments)


def health(endpoint: Endpoint) -> dict[str, Any]:
    """What the monitoring port says: ``status`` and ``version``."""
    try:
        answer: dict[str, Any] = http.call(Endpoint(endpoint.also["monitoring"]), "/health").json
    except EndpointError as error:
        # Asked here, an MCP server's own port says 404, whether it is well or not.
        hint = "run 05_deploy_mcp_server again: its monitoring port is what tells its health"
        raise error.but(hint=hint) from error
    return answer


def calls(endpoint: Endpoint) -> tuple[int, int]:
    """How many tool calls it has had since it was started, and how many of them failed."""
    page = http.call(Endpoint(endpoint.also["monitoring"]), "/metrics").text
    counted = re.findall(rf"^{COUNTED}{{(.*)}} (\S+)$", page, re.MULTILINE)
    failed = sum(float(value) for labels, value in counted if 'status="error"' in labels)
    return round(sum(float(value) for _, value in counted)), round(failed)


def ready(endpoint: Endpoint) -> object:
    """Whether it is healthy, and does the protocol's first exchange."""

    def ask() -> object:
        if health(endpoint).get("status") != "ok":
            return NotYet("the monitoring port says it is not ready")
        return mcp.initialize(endpoint, PATH)

    return answered(ask)


def count(replica: Endpoint, collection: str) -> int:
    """How many documents it counts; -1 where it says no number."""
    found = re.search(r"\d+", _called(replica, "count", collection=collection))
    return int(found.group()) if found else -1


def _listed(endpoint: Endpoint) -> str:
    found = mcp.json_in(_called(endpoint, "list-collections"))["collections"]
    return ", ".join(sorted(entry["name"] for entry in found))


def _called(endpoint: Endpoint, name: str, **arguments: str) -> str:
    """A tool's result, in the revision that the agent's calls have."""
    with mcp.plain_session(endpoint, PATH) as call:
        result = call(name, ALWAYS | arguments)
    if result.failed:
        raise EndpointError("The tool failed.", where=endpoint.url, state=result.text[:300])
    return result.text


def refusal(endpoint: Endpoint, token: Secret | None = None) -> str:
    """What it says to who has this token, or none."""
    try:
        mcp.initialize(replace(endpoint, token=token), PATH)
    except EndpointError as error:
        return f"{error.kind} ({error.state.split(':')[0]})"
    return "let in"


@dataclass(frozen=True)
class Registration:
    """What was registered: the MCP server's label, its URL, the allowed tools."""

    label: str
    url: str
    tools: tuple[str, ...]
    connector: str = ""  # Its name in the server's own configuration; "": the URL is given.

    def __repr__(self) -> str:
        return f"{self.label} at {self.connector or self.url}: {', '.join(self.tools)}"


def register_mcp_server(target: Target, *, tools: tuple[str, ...] = ALLOWED) -> Registration:
    """Register the MCP server with Llama Stack: how it is reached, and which tools may be called.

    Raises ``StepMissing`` where Llama Stack or the MCP server does not run.
    """
    with stages("Registration") as stage:
        target.find(llama_stack.PART)
        found = Registration(LABEL, target.find(PART).peer_url + PATH, tuple(tools))
        for connector in _connectors(target, found.url):
            by_name = replace(found, connector=connector)
            target.store.remember(REGISTERED, json.dumps(astuple(by_name)))
            with suppress(EndpointError):
                if listed_by_llama_stack(target):
                    found = by_name
                    break
            stage(f"the connector {connector} does not pass the credential on: its URL is used")
        target.store.remember(REGISTERED, json.dumps(astuple(found)))
        stage(f"{found.label} at {found.connector or found.url}: {', '.join(tools)}")
        return found


def _connectors(target: Target, url: str) -> list[str]:
    """The names by which the server's own configuration knows this MCP server."""
    endpoint, listed = target.find(llama_stack.PART), []
    for path in CONNECTORS:
        with suppress(EndpointError):
            listed += http.call(endpoint, path).json["data"]
    return [str(one["connector_id"]) for one in listed if one["url"].rstrip("/") == url]


def verify_registration(target: Target) -> Checks:
    """Prove that Llama Stack lists the MCP server's tools, exactly the allowed ones.

    Raises ``CheckFailed``, or ``StepMissing`` where the server was not registered.
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
    """What was registered; ``StepMissing`` where nothing was."""
    kept = target.store.recall(REGISTERED)
    if kept is None:
        hint = "run 06_register_mcp_server first"
        raise StepMissing("The MCP server was not registered yet.", hint=hint)
    label, url, tools, *connector = json.loads(kept)
    return Registration(label, url, tuple(tools), *connector)


def tool(target: Target) -> dict[str, Any]:
    """The MCP server as ``/v1/responses`` takes it. Holds the shared secret: never show it."""
    kept, endpoint = registered(target), target.find(PART)
    where = {"connector_id": kept.connector} if kept.connector else {}
    return as_tool(endpoint, kept.label, kept.tools, approval="never", **where)


def as_tool(
    endpoint: Endpoint, label: str, tools: Sequence[str], *, approval: str, **where: str
) -> dict[str, Any]:
    """An MCP server as ``/v1/responses`` takes it: at its URL, or ``where`` a connector leads."""
    found = {
        "type": "mcp",
        "server_label": label,
        **(where or {"server_url": endpoint.peer_url + PATH}),
        "require_approval": approval,
        "allowed_tools": list(tools),
    }
    if endpoint.token:
        found["authorization"] = endpoint.token.reveal()
    return found


def listed_by_llama_stack(target: Target) -> list[str]:
    """The tools that Llama Stack finds at the registered server, by a request that it streams.

    The error says whether Llama Stack or the MCP server is the reason why there are none.
    """
    endpoint = target.find(llama_stack.PART)
    client = stack_client.client(endpoint)
    what = "Llama Stack could not list the MCP server's tools."
    try:
        events = stack_client.events(
            client, model=llama_stack.model_id(target), input="Hello.", tools=[tool(target)]
        )
        # The list comes before the model is asked, so there is no need to wait for the answer.
        with events:
            for event in events:
                item = event.get("item") or {}
                if item.get("type") == "mcp_list_tools" and item.get("tools"):
                    return [str(found["name"]) for found in item["tools"]]
    except stack_client.api_error() as error:
        # Raises the MCP server's own error if it is the reason: Llama Stack only says 500.
        mcp.initialize(target.find(PART), PATH)
        if getattr(error, "status_code", None) == 404:
            raise EndpointError(
                what,
                where=f"{endpoint.url}/v1/responses",
                state="HTTP 404: this server has no Responses API",
                hint="run 03_deploy_llama_stack again, then 06: it starts a server that has it; "
                "the kit does not use the Agents API of older servers",
            ) from error
        told = stack_client.explained(error, endpoint, what)
        raise stack_client.with_log(told, target, llama_stack.PART) from error
    mcp.initialize(target.find(PART), PATH)
    raise EndpointError(
        "Llama Stack listed no tools.", where=endpoint.url, hint="workshop logs llama-stack"
    )


def _check_tools_fit(target: Target) -> None:
    """See that the allowed tools leave the model room, where it tells how much it reads."""
    context = openai.context(target.find(model.PART), model.model_name(target))
    offered, allowed = list_tools(target), registered(target).tools
    shown = [(t.name, t.description, t.parameters) for t in offered if t.name in allowed]
    tokens = round(len(json.dumps(shown)) / BYTES_A_TOKEN)
    if context and tokens > context / 2:
        raise SettingsError(
            "The tools leave the model too little room for the question and its answer.",
            state=f"{len(shown)} tools are about {tokens} of the {context} tokens that it reads",
            hint=f"run 06_register_mcp_server with only {', '.join(ALLOWED)}, or 02_serve_model "
            "with a model that reads more",
        )


def _speaks(target: Target) -> str:
    """Ask what the checkpoint asks; gives the protocol revisions in which it was asked."""
    verify_mcp_server(target)
    newer = mcp.revision(target.find(PART), PATH)
    return f"MCP {mcp.PROTOCOL} with the agent's server, {newer} with the kit"


def _has_tools(target: Target) -> None:
    if target.store.recall("model name"):
        _check_tools_fit(target)
    verify_registration(target)


SPEC = Spec(
    name=PART,
    notebook="05_deploy_mcp_server",
    port=PORT,
    pods=({"app": "mongodb-mcp-server"},),
    needs=(mongodb.PART, mongodb.REPLICAS, "network", "permissions"),
    serves="data",
    order=3,
    page=Page(PART, PART, MONITORING_PORT, also="monitoring"),
    credentials=(CREDENTIAL,),
    # Llama Stack gets it from the agent, with each request.
    callers=("the agent",),
    if_refused="run 05_deploy_mcp_server and 06_register_mcp_server again",
    part=part_of,
    ready=ready,
    refusal=lambda target: refusal(target.find(PART)),
    examine=_speaks,
    # It starts without the database, and connects to it when it is asked.
    prestart=lambda target, _given, started: [
        part_of(target, started[name]) for name in started if name == mongodb.PART
    ],
)

TOOLS = Spec(
    name="agent's tools",
    notebook="06_register_mcp_server",
    on=(),
    needs=(PART, llama_stack.PART, model.PART),
    examine=_has_tools,
)
