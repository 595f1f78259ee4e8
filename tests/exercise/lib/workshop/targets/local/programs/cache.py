"""The cache: the stand-in that lies in the checkout's folder ``software``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from workshop.core.settings import CHECKOUT
from workshop.targets.base import Part
from workshop.targets.local.process import Command

SCRIPT = CHECKOUT / "software" / "memcached.py"


def command(part: Part, ports: Mapping[str, int], folder: Path) -> Command:
    """Serve on loopback; the password goes in by environment."""
    return Command(
        argv=(
            *(sys.executable, str(SCRIPT)),
            *(f"--port={ports['main']}", f"--page={ports['metrics']}"),
        ),
        env={
            "MEMCACHED_USER": str(part.settings["user"]),
            "MEMCACHED_PASSWORD": part.secrets["password"].reveal(),
        },
        cwd=folder,
    )
