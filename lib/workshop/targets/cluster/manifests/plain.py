"""The parts that are their manifests with a Secret: databases, the MCP server, the collector."""

from __future__ import annotations

import json
from urllib.parse import quote

from workshop.targets.base import Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, as_it_is, built


def collector(part: Part, api: Api) -> Plan:
    """A Deployment with the script, and its Service."""
    return as_it_is(built(part, api), part, "collector")


def mongodb(part: Part, api: Api) -> Plan:
    """Deployment, volume and Service; a Job makes the user that may only read."""
    texts = _users(part) | {
        "monitor-username": str(part.settings["monitor"]),
        "monitor-password": part.secrets["monitor password"].reveal(),
    }
    made = [*built(part, api), objects.secret("mongodb", part.name, texts)]
    objects.size(made, part.settings)
    return as_it_is(
        made,
        part,
        "mongodb",
        scheme="mongodb",
        user=texts["username"],
        jobs=("mongodb-users",),
        keeps=("one mongod holds the lock of its data: a replica set has more",),
    )


def mongodb_replicas(part: Part, api: Api) -> Plan:
    """StatefulSet, its Service and budget; a Job makes a set of the members."""
    name = "mongodb-replicas"
    texts = _users(part) | {"keyfile": part.secrets["key"].reveal()}
    made = [*built(part, api), objects.secret(name, part.name, texts)]
    for claim in objects.one(made, "StatefulSet")["spec"]["volumeClaimTemplates"]:
        objects.size([{"kind": "PersistentVolumeClaim", **claim}], part.settings)
    return as_it_is(
        made,
        part,
        name,
        scheme="mongodb",
        user=texts["username"],
        jobs=("mongodb-replicas-initiate",),
        members=True,
        keeps=("it has three members, which the replica set names",),
    )


def _users(part: Part) -> dict[str, str]:
    """The logins of the owner of MongoDB, and of who may only read."""
    return {
        "username": str(part.settings["user"]),
        "password": part.secrets["password"].reveal(),
        "reader-username": str(part.settings["reader"]),
        "reader-password": part.secrets["reader password"].reveal(),
    }


def postgresql(part: Part, api: Api) -> Plan:
    """Deployment, volume and Service."""
    texts = {
        "username": str(part.settings["user"]),
        "password": part.secrets["password"].reveal(),
        "database": str(part.settings["database"]),
    }
    made = [*built(part, api), objects.secret("postgresql", part.name, texts)]
    objects.size(made, part.settings)
    return as_it_is(
        made,
        part,
        "postgresql",
        scheme="postgresql",
        user=texts["username"],
        keeps=("one server holds the lock of its data",),
    )


def mcp_server(part: Part, api: Api) -> Plan:
    """The Deployment, and the Secret with the connection string and the shared secret."""
    name, database = "mongodb-mcp-server", part.needs["mongodb"]
    user, password = part.settings.get("reader"), part.secrets.get("reader password")
    user, password = (user, password) if password else (database.user, database.password)
    login = f"{quote(str(user), safe='')}:{quote(password.reveal(), safe='')}@" if password else ""
    host = database.peer_url.removeprefix("mongodb://")
    members = part.settings.get("replica_set")
    options = "authSource=admin" + (f"&replicaSet={members}" if members else "")
    token = part.secrets["token"].reveal()
    texts = {
        "connection-string": f"mongodb://{login}{host}/?{options}",
        "http-headers": json.dumps({"authorization": f"Bearer {token}"}),
    }
    made = [*built(part, api), objects.secret(name, part.name, texts)]
    flags = {
        "MDB_MCP_READ_ONLY": "true" if part.settings["read_only"] else "false",
        "MDB_MCP_DISABLED_TOOLS": str(part.settings["disabled_tools"]),
    }
    container = objects.container(objects.one(made, "Deployment"))
    objects.set_variables(container.setdefault("env", []), flags)
    return as_it_is(made, part, name, also=part.extra_ports)
