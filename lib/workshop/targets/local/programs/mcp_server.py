"""The official MongoDB MCP server, on Node. Everything goes in by environment."""

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from workshop.setup import locate
from workshop.targets.base import Part
from workshop.targets.local.process import Command


def command(part: Part, ports: Mapping[str, int], folder: Path) -> Command:
    """Source of the names: mongodb-mcp-server 3.0.4, `--help` and its README."""
    database, token = part.needs["mongodb"], part.secrets["token"]
    password = database.password.reveal() if database.password else ""
    host = database.url.removeprefix("mongodb://")
    login = f"{quote(database.user, safe='')}:{quote(password, safe='')}@" if password else ""
    connection = f"mongodb://{login}{host}/?authSource=admin&directConnection=true"
    return Command(
        argv=(str(locate("node")), str(locate("mcp-server"))),
        env={
            "MDB_MCP_CONNECTION_STRING": connection,
            "MDB_MCP_TRANSPORT": "http",
            "MDB_MCP_HTTP_HOST": "127.0.0.1",
            "MDB_MCP_HTTP_PORT": str(ports["main"]),
            "MDB_MCP_HTTP_HEADERS": json.dumps({"authorization": f"Bearer {token.reveal()}"}),
            "MDB_MCP_MONITORING_SERVER_HOST": "127.0.0.1",
            "MDB_MCP_MONITORING_SERVER_PORT": str(ports["monitoring"]),
            "MDB_MCP_MONITORING_SERVER_FEATURES": "health-check,metrics",
            "MDB_MCP_READ_ONLY": "true" if part.settings["read_only"] else "false",
            "MDB_MCP_DISABLED_TOOLS": str(part.settings["disabled_tools"]),
            "MDB_MCP_TELEMETRY": "disabled",
            "MDB_MCP_LOGGERS": "stderr,mcp",
        },
        cwd=folder,
    )
