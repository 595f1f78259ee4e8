"""Each alert fires when it should and is quiet when it should be: promtool's own tests say so."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from workshop.operate import metrics
from workshop.targets.local.programs import installed, prometheus

RULES = yaml.safe_load(prometheus.RULES.read_text(encoding="utf-8"))["spec"]
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}

ASKED = 'api="responses",method="create_openai_response"'
TOOL = "mcp_tool_execution_duration_seconds_{}"


@dataclass(frozen=True)
class Case:
    """Series a minute each, for half an hour: those that fire the alert, and those that do not."""

    fires: dict[str, str]
    quiet: dict[str, str]
    again: dict[str, str] | None = None  # Another server's series that fire it too.


def status(server: str, good: str, bad: str) -> dict[str, str]:
    name = f"{server}_requests_total"
    return {
        f'{name}{{{ASKED},status="success"}}': good,
        f'{name}{{{ASKED},status="error"}}': bad,
    }


def duration(server: str, total: str, count: str) -> dict[str, str]:
    name = f"{server}_request_duration_seconds"
    return {f"{name}_sum{{{ASKED}}}": total, f"{name}_count{{{ASKED}}}": count}


CASES = {
    "PartDown": Case(
        {'up{part="mongodb"}': "1x5 0x25", 'up{part="model"}': "1x30"},
        {'up{part="mongodb"}': "1x30", 'up{part="model"}': "1x30"},
        {'up{part="mongodb"}': "1x10 _x20", 'up{part="model"}': "1x30"},
    ),
    "AnswersFail": Case(
        status("llama_stack", "0+4x30", "0+1x30"),
        status("llama_stack", "0+40x30", "0+1x30"),
        status("ogx", "0+4x30", "0+1x30"),
    ),
    "SlowAnswers": Case(
        duration("llama_stack", "0+140x30", "0+2x30"),
        duration("llama_stack", "0+20x30", "0+2x30"),
        duration("ogx", "0+140x30", "0+2x30"),
    ),
    "ToolErrors": Case(
        {
            TOOL.format("count") + '{status="success"}': "0+4x30",
            TOOL.format("count") + '{status="error"}': "0+1x30",
        },
        {
            TOOL.format("count") + '{status="success"}': "0+20x30",
            TOOL.format("count") + '{status="error"}': "0+1x30",
        },
    ),
    "SlowTools": Case(
        {TOOL.format("sum"): "0+12x30", TOOL.format("count"): "0+4x30"},
        {TOOL.format("sum"): "0+1x30", TOOL.format("count"): "0+4x30"},
    ),
    "NoToolCalls": Case(
        {**status("llama_stack", "0+1x30", "0x30"), 'up{part="mcp-server"}': "1x30"},
        {
            **status("llama_stack", "0+1x30", "0x30"),
            'up{part="mcp-server"}': "1x30",
            TOOL.format("count"): "0+1x30",
        },
        {
            **status("ogx", "0+1x30", "0x30"),
            'up{part="mcp-server"}': "1x30",
            TOOL.format("count"): "7x30",
        },
    ),
    "ManyConnections": Case(
        {
            'mongodb_ss_connections{conn_type="current"}': "900x30",
            'mongodb_ss_connections{conn_type="available"}': "100x30",
        },
        {
            'mongodb_ss_connections{conn_type="current"}': "20x30",
            'mongodb_ss_connections{conn_type="available"}': "980x30",
        },
    ),
    "ConnectionsOpenedTooOften": Case(
        {'ferretdb_client_accepts_total{error="0"}': "0+600x30"},
        {'ferretdb_client_accepts_total{error="0"}': "0+60x30"},
        {'mongodb_ss_connections{conn_type="totalCreated"}': "0+600x30"},
    ),
    "ModelQueue": Case(
        {'llamacpp:requests_deferred{part="model"}': "6x30"},
        # The embedder's queue is another matter.
        {
            'llamacpp:requests_deferred{part="model"}': "1x30",
            'llamacpp:requests_deferred{part="embedder"}': "9x30",
        },
        {'vllm:num_requests_waiting{part="model"}': "6x30"},
    ),
    "ModelCacheFull": Case(
        {'vllm:kv_cache_usage_perc{part="model"}': "0.99x30"},
        {'vllm:kv_cache_usage_perc{part="model"}': "0.4x30"},
    ),
    "GpuMemoryFull": Case(
        {'DCGM_FI_DEV_FB_USED{gpu="0"}': "23900x30", 'DCGM_FI_DEV_FB_FREE{gpu="0"}': "100x30"},
        {'DCGM_FI_DEV_FB_USED{gpu="0"}': "21000x30", 'DCGM_FI_DEV_FB_FREE{gpu="0"}': "3000x30"},
    ),
}


@pytest.fixture(scope="session")
def tool() -> Path:
    """It lies beside a Prometheus that set-up downloaded, or on PATH with the machine's own."""
    beside = installed("prometheus").with_name("promtool")
    return beside if beside.exists() else Path(shutil.which("promtool") or beside)


def run(tool: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "rules.json").write_text(json.dumps(RULES))
    argv = [str(tool), *words]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)


def judge(tool: Path, folder: Path, tests: list[dict[str, Any]]) -> str:
    (folder / "test.json").write_text(json.dumps({"rule_files": ["rules.json"], "tests": tests}))
    done = run(tool, folder, "test", "rules", "test.json")
    return "" if done.returncode == 0 else done.stdout + done.stderr


def told(alert: str, series: dict[str, str]) -> dict[str, Any]:
    """A test of promtool's that this alert fires on these series after 20 minutes."""
    lines = [{"series": name, "values": values} for name, values in series.items()]
    return {
        "interval": "1m",
        "input_series": lines,
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)',
                "eval_time": "20m",
                "exp_samples": [{"labels": "{}", "value": 1}],
            }
        ],
    }


def test_promtool_takes_the_rules(tool: Path, tmp_path: Path) -> None:
    done = run(tool, tmp_path, "check", "rules", "rules.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout + done.stderr


def test_every_alert_has_its_cases() -> None:
    assert set(CASES) == set(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["for"], name
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert {"summary", "description"} <= set(rule["annotations"]), name


@pytest.mark.parametrize("alert", CASES)
def test_it_fires_when_it_should_and_only_then(tool: Path, tmp_path: Path, alert: str) -> None:
    case = CASES[alert]
    for series in filter(None, (case.fires, case.again)):
        assert judge(tool, tmp_path, [told(alert, series)]) == ""
    assert "exp" in judge(tool, tmp_path, [told(alert, case.quiet)])


def test_alerts_ask_for_metrics_that_the_kit_declares() -> None:
    declared = " ".join(metric.query("1m") for metric in metrics.METRICS)
    for name, rule in ALERTS.items():
        asked = set(
            re.findall(
                r"\b((?:llama_stack|ogx|mcp|mongodb|ferretdb|DCGM)_\w+|(?:vllm|llamacpp):\w+)",
                rule["expr"],
            )
        )
        assert asked or "up{" in rule["expr"], name
        for one in asked:
            assert one in declared, f"{name}: {one}"
