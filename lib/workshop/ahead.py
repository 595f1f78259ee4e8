"""Parts that depend on no other, begun together when a whole sequence runs.

The notebooks wait for their part one by one, as they read; by then it has been coming up for a
while. Whatever goes wrong here is met again by the notebook that deploys the part, with its error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workshop import llama_stack, model, mongodb
from workshop.target import Part, Target


def begin(target: Target, parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Begin the model, the embedder and the database where their notebooks are run.

    Args:
        target: Where.
        parameters: By the number of each notebook that is run, such as ``"02"``.

    Returns:
        The names of the parts that were begun; none where parts do not come up side by side.
    """
    parts: list[Part] = []
    serve, store = parameters.get("02"), parameters.get("04")
    if serve is not None and not serve.get("MODEL_URL"):
        parts.append(model.part_of(target, str(serve.get("MODEL", ""))))
    if "03" in parameters:
        parts.append(llama_stack.embedder_of(target))
    if store is not None:
        size = str(store.get("STORAGE_SIZE", mongodb.STORAGE))
        parts.append(mongodb.part_of(target, size, str(store.get("STORAGE_CLASS", ""))))
    return [part.name for part in parts if target.begin(part)]
