"""The parts in the order of the sequence, and the notebook that deploys each."""

from __future__ import annotations

from workshop.errors import SettingsError

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

WATCHERS = ("collector", "prometheus")
"""The parts that only watch the others: an agent answers without them."""


def part_named(name: str, hint: str) -> str:
    """The name, if it is a part's.

    Raises:
        SettingsError: It is none; names those that there are.
    """
    if name in PROCESSES:
        return name
    state = "parts: " + ", ".join(PROCESSES)
    raise SettingsError(f"There is no part {name!r}.", state=state, hint=hint)


def notebook_of(part: str) -> str:
    """The notebook to run when this part is missing."""
    return NOTEBOOK_OF.get(part, "00_check_environment")
