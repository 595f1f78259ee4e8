"""The MCP server on a cluster: ``manifests/mcp-server``, with its Secret and settings."""

import json
from urllib.parse import quote

from workshop.targets.base import Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, as_it_is, built


def plan(part: Part, api: Api) -> Plan:
    """The Deployment, and the Secret with the connection string and the shared secret."""
    database = part.needs["mongodb"]
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
    made = built(part, api)
    flags = {
        "MDB_MCP_READ_ONLY": "true" if part.settings["read_only"] else "false",
        "MDB_MCP_DISABLED_TOOLS": str(part.settings["disabled_tools"]),
    }
    container = objects.container(objects.one(made, "Deployment"))
    objects.set_variables(container.setdefault("env", []), flags)
    return as_it_is(made, part, name=f"mongodb-{part.name}", texts=texts, also=part.extra_ports)
