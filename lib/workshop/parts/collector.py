"""The collector: takes the metrics that Llama Stack pushes, so that they can be read.

Llama Stack 0.7.3 has no page of metrics; it pushes them by OTLP when the environment variable
``OTEL_EXPORTER_OTLP_ENDPOINT`` says where to (its ``telemetry/__init__.py``). OGX 1.5.0 has a page
of its own and needs no collector.
"""

from workshop.clients import http
from workshop.targets.base import Part
from workshop.targets.spec import Page, Spec

PART, PORT = "collector", 4318  # OTLP's own port, for HTTP.

ready = http.ready("/health")


def part_of() -> Part:
    """What it must be: it needs nothing."""
    return Part(PART, PORT)


SPEC = Spec(
    name=PART,
    notebook="03_deploy_llama_stack",
    port=PORT,
    serves="watching",
    page=Page("llama-stack", PART, PORT, server="llama-stack"),
    ready=ready,
)
