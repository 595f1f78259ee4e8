"""All parts, in dependency order.

A new part is a module here, ``parts/<name>.py``, that ends with its ``SPEC``; one in each target,
``targets/local/programs/<name>.py`` and ``targets/cluster/manifests/<name>.py``, which need not be
there where the folder ``manifests/<name>`` says it all; and a line below.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from workshop.targets.base import Endpoint, Target
from workshop.targets.spec import Parts, Spec

MODULES = (
    "gpu_nodes",
    "model",
    "embedder",
    "collector",
    "postgresql",
    "llama_stack",
    "mongodb",
    "mcp_server",
    "mcp_writer",
    "prometheus",
)
"""Each after those that it needs. A database of two kinds, or a server and its registration, are a
module with a ``Spec`` for each."""

ALL = Parts(
    spec
    for module in MODULES
    for spec in vars(import_module(f"{__package__}.{module}")).values()
    if isinstance(spec, Spec)
)


def start_early(target: Target, parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Start the parts that depend on no other, if their notebooks are run.

    When the notebooks come to wait for their part one by one, it has been coming up for a while.
    Whatever goes wrong here is met again by the notebook that deploys the part, with its error.
    ``parameters`` are by the number of each notebook that is run, such as ``"02"``.
    """
    started: dict[str, Endpoint] = {}
    for spec in ALL:
        given = parameters.get(spec.notebook[:2])
        if spec.prestart is None or given is None:
            continue
        for part in spec.prestart(target, given, started):
            if endpoint := target.prestart(part):
                started[part.name] = endpoint
