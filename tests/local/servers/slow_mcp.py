"""An MCP server whose one tool takes its time: a real server of the mcp package."""

import sys

import anyio
from mcp.server import MCPServer

server = MCPServer("slow")


@server.tool()
async def wait(seconds: float) -> str:
    """Answer after so many seconds."""
    await anyio.sleep(seconds)
    return "done"


if __name__ == "__main__":
    sys.stdout.write("starting\n")
    sys.stdout.flush()
    server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
