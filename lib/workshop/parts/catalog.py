"""All parts, in dependency order.

A new part is a module here, ``parts/<name>.py``, that ends with its ``SPEC``; one in each target,
``targets/local/programs/<name>.py`` and ``targets/cluster/manifests/<name>.py``; and a line below.
"""

from __future__ import annotations

from importlib import import_module

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
