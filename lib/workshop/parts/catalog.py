"""The parts in the order of the sequence, and the notebook that deploys each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from workshop.core.errors import SettingsError
from workshop.targets.base import Target

NOTEBOOK_OF = {
    "model": "02_serve_model",
    "embedder": "03_deploy_llama_stack",
    "collector": "03_deploy_llama_stack",
    "llama-stack": "03_deploy_llama_stack",
    "mongodb": "04_deploy_mongodb",
    "mcp-server": "05_deploy_mcp_server",
    "agent's tools": "06_register_mcp_server",
    "prometheus": "09_watch_the_system",
}

PROCESSES = tuple(name for name in NOTEBOOK_OF if name != "agent's tools")
"""The parts that are software of their own, in dependency order."""

SCALED_OUT = {"postgresql": "10_scale_out", "mongodb-replicas": "10_scale_out"}
"""Parts that only a cluster has, and the notebook that deploys each."""

ON_A_CLUSTER = (*SCALED_OUT, *PROCESSES)
"""All parts that a cluster may have, in dependency order."""

WATCHERS = ("collector", "prometheus")
"""The parts that only watch the others: an agent answers without them."""


def part_named(name: str, hint: str, known: Sequence[str] = PROCESSES) -> str:
    """The name, if it is one of these parts'.

    Raises:
        SettingsError: It is none; names those that there are.
    """
    if name in known:
        return name
    state = "parts: " + ", ".join(known)
    raise SettingsError(f"There is no part {name!r}.", state=state, hint=hint)


def notebook_of(part: str) -> str:
    """The notebook to run when this part is missing."""
    return (NOTEBOOK_OF | SCALED_OUT).get(part, "00_check_environment")


def keep_choices(target: Target, part: str, **chosen: str) -> None:
    """Keep the choices of a deploy verb by the names of its parameters."""
    target.remember(_choices_fact(part), json.dumps(chosen))


def choices_of(target: Target, part: str) -> dict[str, Any]:
    """The choices of the last deployment; empty when there was none."""
    kept = target.recall(_choices_fact(part))
    return dict(json.loads(kept)) if kept else {}


def _choices_fact(part: str) -> str:
    return f"choices of {part}"
