"""The collector: takes the metrics that Llama Stack pushes, so that they can be read.

Llama Stack 0.7.3 has no page of metrics; it pushes them by OTLP when the environment variable
``OTEL_EXPORTER_OTLP_ENDPOINT`` says where to (its ``telemetry/__init__.py``). OGX 1.5.0 has a page
of its own and needs no collector.
"""

from __future__ import annotations

from workshop.clients import http
from workshop.core.errors import EndpointError
from workshop.core.progress import Stages
from workshop.core.wait import NotYet
from workshop.targets.base import Endpoint, Part, Target

PART = "collector"
PORT = 4318
"""OTLP's own, for HTTP."""


def part_of() -> Part:
    """What it must be: it needs nothing."""
    return Part(PART, PORT)


def deploy(target: Target, *, timeout: float, stage: Stages) -> Endpoint:
    """Run it; gives where to push.

    Raises:
        PartFailed: It ended while it started.
        PartTooSlow: It was not ready in time.
    """
    return target.ensure(part_of(), ready=_ready, timeout=timeout, stage=stage).endpoint


def _ready(endpoint: Endpoint) -> object:
    try:
        return http.call(endpoint, "/health", timeout=5)
    except EndpointError as error:
        return NotYet(error.state or error.what)
