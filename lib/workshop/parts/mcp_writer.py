"""A second MCP server, which may change incidents: the agent may only ask for its one tool.

It is the program of the first, with a credential and a database user of its own. Every request that
names it says ``require_approval``: OGX and Llama Stack then give a call back in place of making it.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workshop.clients import mcp
from workshop.core.checks import Checks
from workshop.core.progress import Stages, stages
from workshop.core.secret import Secret
from workshop.parts import mcp_server, mongodb
from workshop.targets.base import Deployed, Endpoint, Part, Target
from workshop.targets.spec import Spec

PART = "mcp-writer"
PORT, MONITORING_PORT = 3002, 3003
CREDENTIAL, USER_CREDENTIAL = "mcp writer secret", "mongodb writer password"

TOOL, COLLECTION = "update-many", "incidents"
DISABLED = f"{mcp_server.DISABLED},read,metadata,create,delete,rename-collection"
"""All kinds of tools but those that update, and of those the one that renames."""

USER, ROLE = "workshop-writer", "workshop-change-incidents"
PRIVILEGES = [
    {
        "resource": {"db": mongodb.DATABASE, "collection": COLLECTION},
        "actions": ["find", "update"],
    }
]
NONE: dict[str, Any] = {"_id": "none"}  # No document: nothing is changed, even where it may be.
FORBIDDEN: dict[str, Callable[[Any], object]] = {
    "change services": lambda database: database.services.update_one(NONE, {"$set": {"a": 1}}),
    "change alerts": lambda database: database.alerts.update_one(NONE, {"$set": {"a": 1}}),
    "delete incidents": lambda database: database.incidents.delete_one(NONE),
}
"""What its user may not do, with how it is tried."""

NO_COMMAND = 59
"""The code with which a database refuses a command that it does not have: FerretDB has no roles."""


@dataclass(frozen=True)
class Change:
    """The only kind of change that the agent may propose: an incident is resolved, with its cause.

    Example:
        >>> Change("INC-025", "The time zone was ignored").arguments["filter"]
        {'incident_id': 'INC-025'}
    """

    incident: str
    root_cause: str

    @property
    def fields(self) -> dict[str, str]:
        """The fields of the incident that it sets."""
        return {"status": "resolved", "root_cause": self.root_cause}

    @property
    def arguments(self) -> dict[str, Any]:
        """The call of ``TOOL`` that makes it."""
        return {
            **mcp_server.ALWAYS,
            "collection": COLLECTION,
            "update": {"$set": self.fields},
            # Last, also in the example that the model reads: with this before the update, the
            # local model left it out in five of five proposals, which is every incident.
            "filter": {"incident_id": self.incident},
        }


def deploy_mcp_writer(target: Target, *, timeout: float = 120.0) -> Deployed:
    """Deploy the MCP server that may change incidents, with a database user of its own.

    Raises ``StepMissing`` where there is no database yet, else as ``Target.ensure``.
    """
    with stages("MCP writer") as stage:
        limited = _make_user(target)
        may = f"may change only {COLLECTION}" if limited else "FerretDB cannot limit what it may do"
        stage(f"its own database user: {USER}; {may}")
        return target.ensure(part_of(target), ready=mcp_server.ready, timeout=timeout, stage=stage)


def part_of(target: Target) -> Part:
    """What the server must be, on the database that has the documents."""
    part = Part(
        PART,
        PORT,
        settings={"read_only": False, "disabled_tools": DISABLED},
        extra_ports={"monitoring": MONITORING_PORT},
        credential=CREDENTIAL,
    )
    part, password = mcp_server.on_database(target, part), mongodb.password(target, USER_CREDENTIAL)
    database = replace(part.needs["mongodb"], user=USER, password=password)
    return replace(part, needs={"mongodb": database})


def _make_user(target: Target) -> bool:
    """Make its user in the database, or set the password; whether a role limits what it may do."""
    from pymongo.errors import OperationFailure

    word = mongodb.password(target, USER_CREDENTIAL).reveal()
    with mongodb.connected(mongodb.find(target)) as database:
        admin, roles = database.client.admin, [ROLE]
        try:
            known = admin.command("rolesInfo", ROLE)["roles"]
            verb = "updateRole" if known else "createRole"
            admin.command(verb, ROLE, privileges=PRIVILEGES, roles=[])
        except OperationFailure as error:
            if error.code != NO_COMMAND:
                raise
            roles = []
        known = admin.command("usersInfo", USER)["users"]
        admin.command("updateUser" if known else "createUser", USER, pwd=word, roles=roles)
        return bool(roles)


def tool(target: Target) -> dict[str, Any]:
    """The server as ``/v1/responses`` takes it. Holds its secret: never show it."""
    return mcp_server.as_tool(target.find(PART), "mongodb-writer", [TOOL], approval="always")


def check(target: Target, checks: Checks) -> None:
    """Add what must be so of it: one tool, closed to strangers, and one collection."""
    endpoint = target.find(PART)
    checks.equal("the MCP writer offers one tool", TOOL, functools.partial(_tools, endpoint))
    checks.that(
        "the MCP writer refuses without its secret",
        "401 or 403",
        functools.partial(mcp_server.refusal, endpoint),
        lambda seen: seen.startswith("unauthorized"),
    )
    checks.that(
        f"its database user may change only {COLLECTION}",
        "refused elsewhere",
        functools.partial(_elsewhere, target),
        lambda seen: seen.startswith(("refused", "not limited: FerretDB")),
    )


def _tools(endpoint: Endpoint) -> str:
    return ", ".join(tool.name for tool in mcp.list_tools(endpoint, mcp_server.PATH))


def _elsewhere(target: Target) -> str:
    """What the database says when its user would do anything but change incidents."""
    from pymongo.errors import OperationFailure

    login, done = _login(target, mongodb.password(target, USER_CREDENTIAL)), []
    _read_one(login)
    with mongodb.connected(login) as database:
        for name, attempt in FORBIDDEN.items():
            try:
                attempt(database)
                done.append(name)
            except OperationFailure as error:
                if error.code not in mongodb.UNAUTHORIZED:
                    raise
        product = mongodb.product(database)
    if done and product.startswith("FerretDB"):
        return f"not limited: {product} has no roles"
    return f"it may {', '.join(done)}" if done else "refused"


def _read_one(login: Endpoint) -> None:
    """Ask what its user may ask: an error here is one of the login, not of a right."""
    with mongodb.connected(login) as database:
        database[COLLECTION].find_one({}, {"_id": True})


def _examine(target: Target) -> str:
    checks = Checks("MCP writer")
    check(target, checks)
    checks.raise_if_failed()
    return f"offers {TOOL}, for changes that a person approves"


def _rotate(
    target: Target, old: Sequence[Secret], timeout: float, _stage: Stages
) -> Sequence[Callable[[], object]]:
    """Give it and its database user new secrets; gives what logs in with each of the old ones."""
    endpoint = deploy_mcp_writer(target, timeout=timeout).endpoint
    stranger = replace(endpoint, token=old[0])
    return [
        functools.partial(mcp.initialize, stranger, mcp_server.PATH),
        functools.partial(_read_one, _login(target, old[1])),
    ]


def _login(target: Target, password: Secret) -> Endpoint:
    """The database that takes writes, as its user sees it."""
    return replace(mongodb.find(target), user=USER, password=password)


SPEC = Spec(
    name=PART,
    notebook="11_approve_a_change",
    port=PORT,
    pods=({"app": "mongodb-mcp-writer"},),
    needs=(mongodb.PART, mongodb.REPLICAS, "network", "permissions"),
    credentials=(CREDENTIAL, USER_CREDENTIAL),
    # Llama Stack gets it from the agent, with each request.
    callers=("the agent",),
    if_refused="run 11_approve_a_change again",
    part=part_of,
    ready=mcp_server.ready,
    refusal=lambda target: mcp_server.refusal(target.find(PART)),
    examine=_examine,
    rotate=_rotate,
)
