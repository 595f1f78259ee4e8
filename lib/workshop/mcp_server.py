"""The official MongoDB MCP server: the tools by which an agent reads the database."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from workshop import http, mcp_client, mongodb, pins
from workshop.checks import Checks
from workshop.errors import EndpointError
from workshop.masked import Secret
from workshop.progress import stages
from workshop.target import Deployed, Endpoint, Part, Target
from workshop.wait import NotYet

PART = "mcp-server"
PORT = 3000
CREDENTIAL = "mcp secret"
PATH = "/mcp"
"""Where the streamable HTTP transport answers."""

DISABLED = "connect,disconnect,export,assistant,atlas"
"""Categories and names of tools that an agent for one read-only database does not need."""

COUNTED = "mcp_tool_execution_duration_seconds_count"
"""The counter of its calls, on its page of metrics."""

WRITERS = ("insert-many", "update-many", "delete-many", "drop-collection", "create-collection")


def deploy_mcp_server(target: Target, *, timeout: float = 120.0) -> Deployed:
    """Run the server on the database of step 04: read-only, with a shared secret.

    Raises:
        StepMissing: There is no database yet.
        PartFailed: It ended while it started.
        PartTooSlow: It was not ready in time.
    """
    with stages("MCP server") as stage:
        part = deployed_part(target)
        return target.ensure(part, ready=ready, timeout=timeout, stage=stage)


def deployed_part(target: Target) -> Part:
    """What the server must be, on the database that has the documents."""
    return part_of(target, target.find(target.recall(mongodb.MOVED) or mongodb.PART))


def part_of(target: Target, database: Endpoint) -> Part:
    """What the server must be, on this database."""
    return Part(
        PART,
        PORT,
        settings={
            "read_only": True,
            "disabled_tools": DISABLED,
            "reader": mongodb.READER,
            # Then the driver finds the primary, wherever it is.
            "replica_set": "rs0" if target.recall(mongodb.MOVED) else "",
        },
        secrets={
            "token": target.secret(CREDENTIAL, lambda: secrets.token_urlsafe(32)),
            "reader password": mongodb.reader_password(target),
        },
        needs={"mongodb": database},
        extra_ports={"monitoring": 3001},
        credential=CREDENTIAL,
    )


def verify_mcp_server(target: Target) -> Checks:
    """Prove that it lists its tools, really reads the database, cannot write, and is not open.

    Raises:
        CheckFailed: One of these is not so.
        StepMissing: It does not run.
    """
    endpoint = target.find(PART)
    database = mongodb.find(target)
    checks = Checks("MCP server")
    checks.equal(
        "runs the version that was pinned",
        pins.MCP_SERVER,
        lambda: health(endpoint)["version"],
        hint="make setup, then run 05_deploy_mcp_server again",
    )
    tools = checks.that(
        "lists its tools",
        "find, count and list-collections among them",
        lambda: [tool.name for tool in mcp_client.list_tools(endpoint, PATH)],
        lambda seen: {"find", "count", "list-collections"} <= set(seen),
        show=", ".join,
    )
    checks.that(
        "offers no tool that writes",
        "none",
        lambda: [name for name in tools or WRITERS if name in WRITERS],
        lambda seen: not seen,
        show=lambda seen: ", ".join(seen) or "none",
    )
    checks.equal(
        "speaks the protocol revision that the agent will use",
        mcp_client.PROTOCOL,
        lambda: mcp_client.initialize(endpoint, PATH),
        hint="the server is too old or too new for Llama Stack and OGX: run "
        "05_deploy_mcp_server again",
    )
    checks.that(
        "agrees on a revision with the kit's own client",
        f"{mcp_client.PROTOCOL} or newer",
        lambda: mcp_client.revision(endpoint, PATH),
        lambda seen: seen >= mcp_client.PROTOCOL,
    )
    checks.equal(
        "lists the collections that pymongo sees",
        _collections(database),
        lambda: _listed(endpoint),
    )
    checks.that(
        "refuses without the shared secret",
        "401 or 403",
        lambda: refusal(endpoint, None),
        lambda seen: seen.startswith("unauthorized"),
        hint="anybody who reaches it can read the database: run 05_deploy_mcp_server again, which "
        "sets MDB_MCP_HTTP_HEADERS, and give it no Route",
    )
    checks.that(
        "refuses a wrong secret",
        "401 or 403",
        lambda: refusal(endpoint, Secret("wrong-" + secrets.token_hex(4))),
        lambda seen: seen.startswith("unauthorized"),
    )
    checks.equal("is healthy on its monitoring port", "ok", lambda: health(endpoint)["status"])
    return checks.raise_if_failed()


def health(endpoint: Endpoint) -> dict[str, Any]:
    """What the monitoring port says: ``status`` and ``version``.

    Raises:
        EndpointError: It does not answer.
    """
    try:
        answer: dict[str, Any] = http.call(Endpoint(endpoint.also["monitoring"]), "/health").json
    except EndpointError as error:
        # Asked here, an MCP server's own port says 404, whether it is well or not.
        hint = "run 05_deploy_mcp_server again: its monitoring port is what tells its health"
        raise EndpointError(error.what, where=error.where, state=error.state, hint=hint).of_kind(
            error.kind
        ) from error
    return answer


def calls(endpoint: Endpoint) -> tuple[int, int]:
    """How many tool calls it has had since it was started, and how many of them failed.

    Raises:
        EndpointError: Its monitoring port does not answer.
    """
    page = http.call(Endpoint(endpoint.also["monitoring"]), "/metrics").text
    counted = re.findall(rf"^{COUNTED}{{(.*)}} (\S+)$", page, re.MULTILINE)
    failed = sum(float(value) for labels, value in counted if 'status="error"' in labels)
    return round(sum(float(value) for _, value in counted)), round(failed)


def ready(endpoint: Endpoint) -> object:
    """Whether it is healthy, and does the protocol's first exchange."""
    try:
        if health(endpoint).get("status") != "ok":
            return NotYet("the monitoring port says it is not ready")
        return mcp_client.initialize(endpoint, PATH)
    except EndpointError as error:
        if error.kind == "unauthorized":
            raise
        return NotYet(error.state or error.what)


def _collections(database: Endpoint) -> str:
    with mongodb.connected(database) as reading:
        return ", ".join(sorted(reading.list_collection_names()))


def _listed(endpoint: Endpoint) -> str:
    # In the revision that the agent's calls have.
    arguments = {"connectionId": pins.CONNECTION_ID, "database": mongodb.DATABASE}
    with mcp_client.plain_session(endpoint, PATH) as call:
        result = call("list-collections", arguments)
    if result.failed:
        raise EndpointError("The tool failed.", where=endpoint.url, state=result.text[:300])
    found = json_in(result.text)
    return ", ".join(sorted(entry["name"] for entry in found["collections"]))


def json_in(text: str) -> Any:
    """The data in a tool's result.

    MCP server 3.x wraps it in ``<untrusted-user-data-...>`` tags between two warnings, so that a
    model does not follow instructions that stand in the data.

    Raises:
        ValueError: There is none.
    """
    for line in text.splitlines():
        if line.startswith(("{", "[")):
            return json.loads(line)
    raise ValueError("no JSON in the tool's result")


def refusal(endpoint: Endpoint, token: Secret | None) -> str:
    """What it says to who has this token, or none."""
    stranger = Endpoint(endpoint.url, token=token, also=endpoint.also)
    try:
        mcp_client.initialize(stranger, PATH)
    except EndpointError as error:
        return f"{error.kind} ({error.state.split(':')[0]})"
    return "let in"
