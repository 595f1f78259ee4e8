"""What Prometheus knows, by its HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api)."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from workshop.clients import http
from workshop.core.table import Table
from workshop.targets.base import Endpoint
from workshop.targets.spec import Spec

PART, PORT = "prometheus", 9090
PATIENCE = 30.0  # Seconds for one query: a machine that serves a model on its CPU is busy.

ready = http.ready("/-/ready")


@dataclass(frozen=True)
class Page:
    """A part's page of metrics, as Prometheus last read it; ``seconds`` is how long that took."""

    part: str
    url: str
    state: str
    seconds: float


@dataclass(frozen=True)
class Sample:
    """One value that a query gives, with its labels."""

    labels: str
    value: float


def samples(endpoint: Endpoint, query: str) -> Table[Sample]:
    """Every value that a query gives now; a wrong query is an ``EndpointError``."""
    found = _ask(endpoint, "query", query=query)
    if found["resultType"] == "scalar":
        return Table([Sample("", float(found["result"][1]))])
    return Table(
        Sample(
            ", ".join(f"{name}={text}" for name, text in sorted(one["metric"].items())),
            float(one["value"][1]),
        )
        for one in found["result"]
    )


def grown(before: Mapping[str, float], now: Mapping[str, float]) -> float:
    """By how much the series of a counter have grown together.

    A server that was started again counts from zero, and one that is gone leaves with its series;
    the difference of two sums would take that for less than nothing.

    Example:
        >>> grown({"pod=a": 8, "pod=b": 1}, {"pod=b": 3, "pod=c": 1})
        3.0
    """
    counted = 0.0
    for labels, value in now.items():
        earlier = before.get(labels, 0.0)
        counted += value - earlier if value >= earlier else value
    return counted


def clock_offset(endpoint: Endpoint) -> float:
    """By how many seconds Prometheus' clock is ahead of the one here; it may run elsewhere."""
    (now,) = samples(endpoint, "time()")
    return now.value - time.time()


def series(
    endpoint: Endpoint, query: str, *, start: float, end: float, step: float
) -> list[tuple[float, float]]:
    """The values of a query over time, as (seconds since the epoch, value); gaps are left out."""
    span = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
    found = _ask(endpoint, "query_range", query=query, **span)["result"]
    read = [(float(when), float(text)) for one in found for when, text in one["values"]]
    # A division by nothing gives NaN; a quantile beyond the last bucket +Inf.
    return [(when, number) for when, number in read if math.isfinite(number)]


def pages(endpoint: Endpoint) -> Table[Page]:
    """Every page of metrics that it reads."""
    return Table(
        Page(
            str(one["labels"].get("part", one["labels"].get("job", ""))),
            str(one["scrapeUrl"]),
            "read" if one["health"] == "up" else str(one["lastError"] or "not read yet"),
            round(float(one["lastScrapeDuration"]), 3),
        )
        for one in _ask(endpoint, "targets", state="active")["activeTargets"]
    )


def alerts(endpoint: Endpoint) -> list[tuple[str, str, str]]:
    """Name, part and state of each alert that is pending or fires.

    The series ``ALERTS`` would hold one for five minutes more, where Prometheus was started again.
    """
    return [
        (one["labels"]["alertname"], one["labels"].get("part", ""), one["state"])
        for one in _ask(endpoint, "alerts")["alerts"]
    ]


def _ask(endpoint: Endpoint, what: str, **asked: str) -> Any:
    path = f"/api/v1/{what}?{urlencode(asked)}"
    return http.call(endpoint, path, timeout=PATIENCE).json["data"]


SPEC = Spec(name=PART, notebook="09_watch_the_system", port=PORT, serves="watching", ready=ready)
