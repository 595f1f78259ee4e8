"""All parts, in dependency order. A new one is a module of its own here, and a line in ``ALL``.

CONTRIBUTING.md says what else it takes: one module in each target, of the part's name.
"""

from __future__ import annotations

from workshop.parts import (
    collector,
    embedder,
    gpu_nodes,
    llama_stack,
    mcp_server,
    model,
    mongodb,
    postgresql,
    prometheus,
)
from workshop.targets.spec import Parts

ALL = Parts(
    (
        gpu_nodes.SPEC,
        model.SPEC,
        embedder.SPEC,
        collector.SPEC,
        postgresql.SPEC,
        llama_stack.SPEC,
        mongodb.SPEC,
        mongodb.REPLICA_SET,
        mcp_server.SPEC,
        mcp_server.TOOLS,
        prometheus.SPEC,
    )
)
