"""The declared metrics, and how their counters grow."""

from __future__ import annotations

import re

import pytest
from workshop.operate import metrics
from workshop.parts import prometheus


def test_each_key_metric_of_the_architecture_is_there() -> None:
    keys = [metric.key for metric in metrics.METRICS]
    assert len(set(keys)) == len(keys)
    parts = {metric.part for metric in metrics.METRICS}
    assert parts == {"llama-stack", "model", "mcp-server", "mongodb", "gpu-nodes"}
    for wanted in ("questions", "answer time", "connections", "query time", "gpu", "gpu memory"):
        assert wanted in keys
    for wanted in ("tool calls", "tool errors", "tokens written", "tokens read", "queue", "cache"):
        assert wanted in keys


@pytest.mark.parametrize("metric", metrics.METRICS, ids=lambda metric: metric.key)
def test_a_query_gives_one_value_for_each_server(metric: metrics.Metric) -> None:
    assert metric.queries
    whole = metric.query("1m")
    assert metrics.WINDOW not in whole
    for text in metric.queries.values():
        assert re.match(r"\(*(100 \* )?(sum|max|avg)\(", text.removeprefix("100 * ")), text
        assert text.replace(metrics.WINDOW, "1m") in whole


@pytest.mark.parametrize(
    ("before", "now", "grown"),
    [
        ({}, {"a": 3.0}, 3),
        ({"a": 8.0}, {"a": 11.0}, 3),
        # A pod that was replaced: its series is still there before, and gone after.
        ({"old": 8.0, "new": 1.0}, {"new": 4.0}, 3),
        # A process that was started anew under the same labels counts from zero.
        ({"a": 8.0}, {"a": 3.0}, 3),
        ({"a": 8.0}, {}, 0),
    ],
)
def test_a_counter_grows_whatever_its_servers_do(
    before: dict[str, float], now: dict[str, float], grown: float
) -> None:
    assert prometheus.grown(before, now) == grown
