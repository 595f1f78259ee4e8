"""Parts that depend on no other, begun together when a whole sequence runs.

The notebooks wait for their part one by one, as they read; by then it has been coming up for a
while. Whatever goes wrong here is met again by the notebook that deploys the part, with its error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workshop.parts.catalog import ALL
from workshop.targets.base import Endpoint, Target


def begin(target: Target, parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Begin the parts that depend on no other, if their notebooks are run.

    Args:
        target: Where.
        parameters: By the number of each notebook that is run, such as ``"02"``.

    Returns:
        The names of the parts that were begun; none where parts do not come up side by side.
    """
    begun: dict[str, Endpoint] = {}
    for spec in ALL:
        given = parameters.get(spec.notebook[:2])
        if spec.ahead is None or given is None:
            continue
        for part in spec.ahead(target, given, begun):
            endpoint = target.begin(part)
            if endpoint is not None:
                begun[part.name] = endpoint
    return list(begun)
