"""The Grafana dashboard as code: one panel for each key metric, its query the declared one.

    python -m workshop.operate.watch.dashboard > manifests/monitoring/base/dashboard.json

The format is Grafana's dashboard model; the version of the schema is that of Grafana 9 and newer,
which read older ones too.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from workshop.operate.watch.metrics import METRICS, Metric

COLUMNS, WIDTH, HEIGHT = 2, 12, 7
"""Grafana's grid is 24 wide."""

UNITS = {"1/s": "ops", "s": "s", "1": "none", "%": "percent", "B": "bytes"}
SOURCE = {"type": "prometheus", "uid": "${source}"}


def dashboard() -> dict[str, Any]:
    """The dashboard's model."""
    return {
        "uid": "agent-workshop-kit",
        "title": "Agent workshop kit",
        "tags": ["agent-workshop-kit"],
        "schemaVersion": 36,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "source", "type": "datasource",
                      "query": "prometheus"}]
        },
        "panels": [_panel(number, metric) for number, metric in enumerate(METRICS)],
    }  # fmt: skip


def _panel(number: int, metric: Metric) -> dict[str, Any]:
    return {
        "id": number + 1,
        "title": metric.title,
        "description": "Read from " + " or ".join(metric.queries),
        "type": "timeseries",
        "datasource": SOURCE,
        "gridPos": {
            "x": WIDTH * (number % COLUMNS),
            "y": HEIGHT * (number // COLUMNS),
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {
            "defaults": {"unit": UNITS[metric.unit], "min": 0, "custom": {"fillOpacity": 12}},
            "overrides": [],
        },
        "options": {"legend": {"showLegend": False}, "tooltip": {"mode": "single"}},
        "targets": [
            {
                "refId": "A",
                "datasource": SOURCE,
                "expr": metric.query("$__rate_interval"),
                "legendFormat": metric.title,
            }
        ],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dashboard(), indent=2) + "\n")
