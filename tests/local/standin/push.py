"""Counts three requests with Llama Stack's own telemetry, and pushes them as it does.

Runs in Llama Stack's environment; the variables say where to push, and how often.
"""

from __future__ import annotations

import os
import sys

import llama_stack.telemetry  # type: ignore[import-not-found]  # noqa: F401
from llama_stack.core.server import metrics  # type: ignore[import-not-found]
from opentelemetry import metrics as otel  # type: ignore[import-not-found]

ASKED = {"api": "responses", "method": "create_openai_response"}

for seconds, status in ((0.5, "success"), (7.0, "success"), (30.0, "error")):
    metrics.requests_total.add(1, {**ASKED, "status": status, "status_code": 'quoted "200"'})
    metrics.request_duration_seconds.record(seconds, ASKED)
metrics.concurrent_requests.add(2, {"api": "responses"})
otel.get_meter_provider().force_flush()
sys.stdout.flush()
os._exit(0)
