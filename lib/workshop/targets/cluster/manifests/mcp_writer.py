"""The MCP server that writes is on a cluster what the one that reads is, under another name."""

from workshop.targets.cluster.manifests.mcp_server import plan

__all__ = ["plan"]
