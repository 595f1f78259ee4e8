"""The MCP server that writes is the program of the one that reads, with other settings."""

from workshop.targets.local.programs.mcp_server import command

__all__ = ["command"]
