"""MongoDB: ``mongod`` where the machine has one, else FerretDB, which speaks its protocol."""

import json
from collections.abc import Mapping
from pathlib import Path

from workshop.setup import locate
from workshop.targets.base import Part
from workshop.targets.local.process import Command
from workshop.targets.local.programs import DATA


def command(part: Part, ports: Mapping[str, int], folder: Path) -> Command:
    """The database's command line, for the program that set-up found or built."""
    program = locate("mongodb")
    data = folder / DATA / program.name
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    if program.name == "mongod":
        # The first user is made through the localhost exception (`workshop.parts.mongodb`),
        # because mongod takes no user from its command line or environment.
        config = folder / "mongod.conf"
        config.write_text(
            "storage:\n"
            f"  dbPath: {json.dumps(str(data))}\n"
            "net:\n"
            "  bindIp: 127.0.0.1\n"
            f"  port: {ports['main']}\n"
            "security:\n"
            "  authorization: enabled\n",
            encoding="utf-8",
        )
        return Command(argv=(str(program), f"--config={config}"), env={}, cwd=folder)
    # Every option has an environment variable, so that the password does not stand in ps.
    # Source: `ferretdb --help` of v1.24.2. A relative address: it decodes %, ? and # of a path once
    # and then uses it as it was, so that a folder with one in its name is not found.
    return Command(
        argv=(str(program), "--handler=sqlite", f"--listen-addr=127.0.0.1:{ports['main']}"),
        env={
            "FERRETDB_SQLITE_URL": "file:./",
            "FERRETDB_STATE_DIR": str(data),
            "FERRETDB_DEBUG_ADDR": f"127.0.0.1:{ports['metrics']}",
            "FERRETDB_TELEMETRY": "disable",
            "FERRETDB_TEST_ENABLE_NEW_AUTH": "true",
            "FERRETDB_SETUP_USERNAME": str(part.settings["user"]),
            "FERRETDB_SETUP_PASSWORD": part.secrets["password"].reveal(),
            "FERRETDB_SETUP_DATABASE": "admin",
        },
        cwd=data,
    )
