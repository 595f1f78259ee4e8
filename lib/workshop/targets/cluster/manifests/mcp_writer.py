"""The MCP server that writes is on a cluster what the one that reads is, under another name."""

from __future__ import annotations

from workshop.targets.base import Part
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, mcp_server


def plan(part: Part, api: Api) -> Plan:
    """As that of the MCP server."""
    return mcp_server.plan(part, api, "mongodb-mcp-writer")
