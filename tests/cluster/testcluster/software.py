"""Images with the real software, under the very names that the manifests use.

No container registry is asked: what goes in is what the kit's own set-up has installed.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from workshop import pins
from workshop.local.setup import locate

from testcluster import images

MCP_SERVER = f"docker.io/mongodb/mongodb-mcp-server:{pins.MCP_SERVER}"


def add_mcp_server(ctr: images.Ctr) -> None:
    """The official MCP server, as npm has it, on Node."""
    node, index = locate("node"), locate("mcp-server")
    modules = index.parents[3]
    inside = f"/app/node_modules/{index.relative_to(modules)}"
    files = {"/app/node_modules": modules, **program("/usr/local/bin/node", node)}
    images.add(ctr, MCP_SERVER, files, entrypoint=("/usr/local/bin/node", inside))


def program(inside: str, path: Path) -> dict[str, Path]:
    """A program of this machine with the libraries that it is linked to."""
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"(/\S+) \(0x", listed)
    return {inside: path.resolve(), **{name: Path(name).resolve() for name in found}}
