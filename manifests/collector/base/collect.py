"""Takes the metrics that Llama Stack pushes, and shows them to Prometheus.

Llama Stack 0.7 has no page of metrics: it pushes them by OTLP, as protobuf over HTTP, to
``$OTEL_EXPORTER_OTLP_ENDPOINT/v1/metrics`` (its ``telemetry/__init__.py``). This keeps the last
push of each server and gives it out at ``/metrics``, until the server has been silent for a while:
then the page answers 503, and Prometheus counts the server as down.

It runs in Llama Stack's own environment, which holds the definition of OTLP's messages. Written
against opentelemetry-proto 1.45. The names become what OGX and OpenTelemetry's own exporter make of
them: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

from __future__ import annotations

import argparse
import gzip
import io
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

PUSH, PAGE, HEALTH = "/v1/metrics", "/metrics", "/health"
LARGEST = 8 << 20
"""Bytes of one push that are read: Llama Stack's are a few kilobytes."""


class Kept:
    """The last push of each server, by its address.

    Args:
        patience: Seconds after which a silent server is forgotten.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._pushes: dict[str, tuple[float, ExportMetricsServiceRequest]] = {}
        self._lock = threading.Lock()

    def take(self, source: str, push: ExportMetricsServiceRequest) -> None:
        """Keep a push, in place of the one before it."""
        with self._lock:
            self._pushes[source] = (time.monotonic(), push)

    def fresh(self) -> dict[str, ExportMetricsServiceRequest]:
        """What was pushed lately, by address."""
        oldest = time.monotonic() - self._patience
        with self._lock:
            self._pushes = {
                source: kept for source, kept in self._pushes.items() if kept[0] >= oldest
            }
            return {source: push for source, (_when, push) in self._pushes.items()}


def page(pushes: dict[str, ExportMetricsServiceRequest]) -> str:
    """The metrics in Prometheus' text format, each with its server's address as ``source``."""
    kinds: dict[str, str] = {}
    lines: dict[str, list[str]] = {}
    for source, push in sorted(pushes.items()):
        for metric in _metrics(push):
            name = re.sub(r"[^a-zA-Z0-9_:]", "_", metric.name)
            kind = _kind(metric)
            if kinds.setdefault(name, kind) == kind:
                lines.setdefault(name, []).extend(_samples(name, metric, source))
    return "".join(
        f"# TYPE {name} {kinds[name]}\n" + "".join(f"{line}\n" for line in lines[name])
        for name in sorted(lines)
        if lines[name]
    )


def _metrics(push: ExportMetricsServiceRequest) -> Iterator[Any]:
    for resource in push.resource_metrics:
        for scope in resource.scope_metrics:
            yield from scope.metrics


def _kind(metric: Any) -> str:
    data = metric.WhichOneof("data")
    if data == "sum":
        return "counter" if metric.sum.is_monotonic else "gauge"
    return {"gauge": "gauge", "histogram": "histogram"}.get(data or "", "untyped")


def _samples(name: str, metric: Any, source: str) -> Iterator[str]:
    data = metric.WhichOneof("data")
    if data in ("sum", "gauge"):
        for point in getattr(metric, data).data_points:
            value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
            yield f"{name}{_labels(point, source)} {value}"
    elif data == "histogram":
        for point in metric.histogram.data_points:
            total = 0
            bounds = [*map(_number, point.explicit_bounds), "+Inf"]
            for bound, count in zip(bounds, point.bucket_counts, strict=True):
                total += count
                yield f"{name}_bucket{_labels(point, source, bound)} {total}"
            yield f"{name}_sum{_labels(point, source)} {point.sum}"
            yield f"{name}_count{_labels(point, source)} {point.count}"


def _number(bound: float) -> str:
    return f"{bound:g}"


def _labels(point: Any, source: str, bound: str = "") -> str:
    found = [(_label(one.key), _text(one.value)) for one in point.attributes]
    found += [("source", source)] + ([("le", bound)] if bound else [])
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in found) + "}"


def _label(key: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", key)


def _text(value: Any) -> str:
    kind = value.WhichOneof("value")
    return str(getattr(value, kind)) if kind else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def handler(kept: Kept) -> type[BaseHTTPRequestHandler]:
    """What answers requests out of this."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self) -> None:
            """Take a push."""
            length = int(self.headers.get("Content-Length") or 0)
            if not 0 < length <= LARGEST or self.path != PUSH:
                # What was not read would be taken for the next request.
                self.close_connection = True
                self._answer(404 if self.path != PUSH else 413, "")
                return
            body = self.rfile.read(length)
            try:
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.GzipFile(fileobj=io.BytesIO(body)).read(LARGEST)
                push = ExportMetricsServiceRequest.FromString(body)
            except (DecodeError, OSError, EOFError):
                self._answer(400, "no OTLP metrics as protobuf\n")
                return
            kept.take(self.client_address[0], push)
            # An empty message of ExportMetricsServiceResponse: everything was accepted.
            self._answer(200, "", "application/x-protobuf")

        def do_GET(self) -> None:
            """Give out what was pushed, or say that this program runs."""
            if self.path == HEALTH:
                self._answer(200, "ok\n")
            elif self.path == PAGE:
                pushes = kept.fresh()
                text = page(pushes) if pushes else "no server has pushed anything lately\n"
                self._answer(200 if pushes else 503, text, "text/plain; version=0.0.4")
            else:
                self._answer(404, f"{PAGE}, {HEALTH}\n")

        def _answer(self, status: int, text: str, kind: str = "text/plain") -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """A line for each push and each scrape would hide everything else."""

    return Handler


def main(words: Iterable[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4318, help="OTLP's own by default")
    parser.add_argument(
        "--patience", type=float, default=60, help="seconds until a silent server is forgotten"
    )
    options = parser.parse_args(None if words is None else list(words))
    server = ThreadingHTTPServer((options.host, options.port), handler(Kept(options.patience)))
    server.daemon_threads = True
    # As a container's first process it would not even notice SIGTERM: its pod would end after 30 s.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"listening on {options.host}:{server.server_port}", flush=True)  # noqa: T201
    server.serve_forever()


if __name__ == "__main__":
    main()
