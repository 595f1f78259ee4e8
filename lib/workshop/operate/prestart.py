"""Parts that depend on no other, begun together when a whole sequence runs.

The notebooks wait for their part one by one, as they read; by then it has been coming up for a
while. Whatever goes wrong here is met again by the notebook that deploys the part, with its error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workshop.parts import collector, embedder, llama_stack, mcp_server, model, mongodb
from workshop.targets.base import Part, Target


def begin(target: Target, parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Begin the parts that depend on no other, if their notebooks are run.

    Args:
        target: Where.
        parameters: By the number of each notebook that is run, such as ``"02"``.

    Returns:
        The names of the parts that were begun; none where parts do not come up side by side.
    """
    parts: list[Part] = []
    serve, store = parameters.get("02"), parameters.get("04")
    if serve is not None and not serve.get("MODEL_URL"):
        wanted = str(serve.get("MODEL", ""))
        if wanted or target.offered(model.PART) is None:
            parts.append(model.part_of(target, wanted))
    if "03" in parameters:
        parts.append(embedder.part_of(target))
        server = llama_stack.chosen(target, str(parameters["03"].get("SERVER", "auto")))
        if server == "llama-stack":
            parts.append(collector.part_of())
    if store is not None:
        size = str(store.get("STORAGE_SIZE", mongodb.STORAGE))
        parts.append(mongodb.part_of(target, size, str(store.get("STORAGE_CLASS", ""))))
    begun = {part.name: target.begin(part) for part in parts}
    database = begun.get(mongodb.PART)
    if database is not None and "05" in parameters:
        # It starts without the database, and connects to it when it is asked.
        begun[mcp_server.PART] = target.begin(mcp_server.part_of(target, database))
    return [name for name, endpoint in begun.items() if endpoint is not None]
