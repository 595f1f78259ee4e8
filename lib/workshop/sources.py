"""The pages of metrics: which part has one, on which port, and what it takes to read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workshop import collector, embedder, llama_stack, mcp_server, model, mongodb


@dataclass(frozen=True)
class Source:
    """Where Prometheus reads a part's metrics.

    Args:
        part: The part, which the label ``part`` of every sample names.
        at: The part whose process answers: Llama Stack's metrics are the collector's page.
        port: On a cluster, of the pods; locally the part's own, which may differ.
        path: On it.
        also: The name in ``Endpoint.also``; "" for the part's main address.
        token: Whether the part's token must be sent.
        exporter: Whether a program beside the part has the page, where the part has none itself.
    """

    part: str
    at: str
    port: int
    path: str = "/metrics"
    also: str = ""
    token: bool = False
    exporter: bool = False


MONGODB_EXPORTER = 9216
"""The port of Percona's mongodb_exporter, beside MongoDB in its pod."""

PUSHED = Source(llama_stack.PART, collector.PART, collector.PORT)
OGX = Source(llama_stack.PART, llama_stack.PART, llama_stack.METRICS_PORT, also="metrics")

SOURCES = (
    PUSHED,
    OGX,
    Source(model.PART, model.PART, model.PORT, token=True),
    Source("embedder", "embedder", embedder.PART.port, token=True),
    Source(mcp_server.PART, mcp_server.PART, 3001, also="monitoring"),
    Source(
        mongodb.PART,
        mongodb.PART,
        MONGODB_EXPORTER,
        "/debug/metrics",
        also="metrics",
        exporter=True,
    ),
)
"""Every page of metrics. Of the first two there is one: Llama Stack pushes, OGX has a page."""

PORTS: Mapping[str, int] = {
    "mongodb-exporter" if one.exporter else one.at: one.port for one in SOURCES
}
"""On a cluster, the port that monitoring must reach, by part; MongoDB's exporter has pods of its
own, and reads MongoDB itself."""
