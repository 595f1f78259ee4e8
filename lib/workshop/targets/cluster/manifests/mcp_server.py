"""The MCP server on a cluster: ``manifests/mcp-server``, with its Secret."""

from __future__ import annotations

import json
from urllib.parse import quote

from workshop.targets.base import Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, overlay

NAME = "mongodb-mcp-server"
"""Of its Deployment, Service and Secret."""


def plan(part: Part, api: Api) -> Plan:
    """The Deployment, and the Secret with the connection string and the shared secret."""
    database, token = part.needs["mongodb"], part.secrets["token"]
    user, password = part.settings.get("reader"), part.secrets.get("reader password")
    user, password = (user, password) if password else (database.user, database.password)
    login = f"{quote(str(user), safe='')}:{quote(password.reveal(), safe='')}@" if password else ""
    host = database.peer_url.removeprefix("mongodb://")
    members = part.settings.get("replica_set")
    options = "authSource=admin" + (f"&replicaSet={members}" if members else "")
    built = objects.build(objects.MANIFESTS / part.name / overlay(api))
    built.append(
        objects.secret(
            NAME,
            part.name,
            {
                "connection-string": f"mongodb://{login}{host}/?{options}",
                "http-headers": json.dumps({"authorization": f"Bearer {token.reveal()}"}),
            },
        )
    )
    deployment = objects.one(built, "Deployment")
    read_only = "true" if part.settings["read_only"] else "false"
    objects.set_variable(deployment, "MDB_MCP_READ_ONLY", read_only)
    objects.set_variable(deployment, "MDB_MCP_DISABLED_TOOLS", str(part.settings["disabled_tools"]))
    digest = objects.digest(built)
    objects.mark(deployment, digest)
    return Plan(
        built,
        digest,
        deployment=NAME,
        pods={"app": NAME},
        service=NAME,
        port=part.port,
        also=part.extra_ports,
    )
