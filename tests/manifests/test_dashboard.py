"""Grafana's dashboard, made from the metrics that ``workshop.operate.metrics`` declares.

``make fix`` runs this file as a program, which writes it.
"""

from __future__ import annotations

import json
from typing import Any

from workshop.core.settings import CHECKOUT
from workshop.operate import metrics

DASHBOARD = CHECKOUT / "manifests" / "monitoring" / "base" / "dashboard.json"
UNITS = {"1/s": "ops", "s": "s", "1": "none", "%": "percent"}  # As Grafana has them.


def dashboard() -> dict[str, Any]:
    """The dashboard in Grafana's model: its schema is that of version 9, which newer ones read."""
    source = {"type": "prometheus", "uid": "${source}"}
    choice = {"name": "source", "label": "source", "type": "datasource", "query": "prometheus"}

    def panel(number: int, metric: metrics.Metric) -> dict[str, Any]:
        query = {"refId": "A", "datasource": source, "expr": metric.query("$__rate_interval")}
        return {
            "id": number + 1,
            "title": metric.title,
            "description": "Read from " + " or ".join(metric.queries),
            "type": "timeseries",
            "datasource": source,
            # Two beside each other: Grafana's grid is 24 wide.
            "gridPos": {"x": 12 * (number % 2), "y": 7 * (number // 2), "w": 12, "h": 7},
            "fieldConfig": {
                "defaults": {"unit": UNITS[metric.unit], "min": 0, "custom": {"fillOpacity": 12}},
                "overrides": [],
            },
            "options": {"legend": {"showLegend": False}, "tooltip": {"mode": "single"}},
            "targets": [query | {"legendFormat": metric.title}],
        }

    return {
        "uid": "agent-workshop-kit",
        "title": "Agent workshop kit",
        "tags": ["agent-workshop-kit"],
        "schemaVersion": 36,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [choice]},
        "panels": [panel(number, metric) for number, metric in enumerate(metrics.METRICS)],
    }


def test_the_dashboard_in_the_repository_is_the_one_that_the_metrics_make() -> None:
    kept = json.loads(DASHBOARD.read_text("utf-8"))
    assert kept == dashboard(), "the dashboard is out of date: make fix"
    shown = {panel["title"]: panel["targets"][0]["expr"] for panel in kept["panels"]}
    assert list(shown) == [metric.title for metric in metrics.METRICS]


def test_no_panel_covers_another() -> None:
    taken = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken
                taken.add((x, y))


if __name__ == "__main__":
    DASHBOARD.write_text(json.dumps(dashboard(), indent=2) + "\n", "utf-8")
