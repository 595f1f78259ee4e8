"""The collector of Llama Stack's metrics: a script in Llama Stack's own environment."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from workshop.core.settings import CHECKOUT
from workshop.targets.base import Part
from workshop.targets.local.process import Command
from workshop.targets.local.programs import installed

SCRIPT = CHECKOUT / "manifests" / "collector" / "base" / "collect.py"
"""The same on a cluster, where it is a ConfigMap."""


def command(_part: Part, ports: Mapping[str, int], folder: Path) -> Command:
    """Serve on loopback; nothing is kept on disk."""
    return Command(
        argv=(
            str(installed("llama-stack") / "bin" / "python"),
            str(SCRIPT),
            f"--port={ports['main']}",
        ),
        # So that an edited script is applied.
        env={"SCRIPT_SHA256": hashlib.sha256(SCRIPT.read_bytes()).hexdigest()},
        cwd=folder,
    )
