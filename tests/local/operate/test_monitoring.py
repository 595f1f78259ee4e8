"""A real Prometheus on a real page, and what is said where there is none."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import workshop
from workshop.agent.answer import Answer, ToolCall
from workshop.core.checks import Checks
from workshop.core.errors import CheckFailed, EndpointError, SettingsError, StepMissing
from workshop.core.progress import Stages
from workshop.core.settings import Settings
from workshop.core.table import Table
from workshop.core.wait import NotYet, wait_for
from workshop.operate import metrics
from workshop.operate.burst import Asked, Load, measure_burst, verify_monitoring
from workshop.operate.logs import Followed, Step
from workshop.parts import collector, prometheus
from workshop.parts.catalog import ALL
from workshop.parts.gpu_nodes import Told
from workshop.setup import locate
from workshop.targets.base import Endpoint
from workshop.targets.local.target import LocalTarget

PUSH = Path(__file__).parents[1] / "standin" / "push.py"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[LocalTarget]:
    """A local target in a folder of its own; what it started is stopped."""
    target = LocalTarget(Settings(state=tmp_path / "state"), ALL)
    yield target
    target.clean_up(data=True)


@pytest.fixture
def pushed(target: LocalTarget) -> Endpoint:
    """A collector that Llama Stack's telemetry has pushed three requests to."""
    stage = Stages("test")
    part, ready = collector.part_of(), collector.ready
    endpoint = target.ensure(part, ready=ready, timeout=30, stage=stage).endpoint
    env = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint.url, "OTEL_SDK_DISABLED": "false"}
    python = str(locate("llama-stack") / "bin" / "python")
    subprocess.run([python, str(PUSH)], env=env, check=True, timeout=120)
    return endpoint


def test_the_pages_of_the_parts_that_run_are_read(target: LocalTarget, pushed: Endpoint) -> None:
    deployed = workshop.deploy_prometheus(target)
    assert not isinstance(deployed, Told)
    (page,) = workshop.list_scrape_targets(target)
    assert (page.part, page.state) == ("llama-stack", "read")
    assert page.url == f"{pushed.url}/metrics"
    endpoint = deployed.endpoint
    good = prometheus.samples(endpoint, 'sum(llama_stack_requests_total{status="success"})')
    assert [one.value for one in good] == [2]
    assert prometheus.samples(endpoint, "sum(nothing_of_this_name)") == []
    assert abs(prometheus.clock_offset(endpoint)) < 5, "the same clock"
    (sample,) = workshop.query_prometheus(target, 'llama_stack_requests_total{status="error"}')
    assert sample.value == 1
    assert "part=llama-stack" in sample.labels
    for metric in metrics.METRICS:
        prometheus.samples(endpoint, metric.query("1m"))  # Each is understood.
    with pytest.raises(EndpointError, match="parse error"):
        workshop.query_prometheus(target, "sum(")
    again = workshop.deploy_prometheus(target)
    assert not isinstance(again, Told)
    assert again.action == "reused"

    assert_the_checkpoint_can_fail(target)

    record = target.process("collector").record()
    assert record
    os.kill(record.pid, signal.SIGKILL)
    checks = Checks("test")

    def noticed() -> object:
        (page,) = workshop.list_scrape_targets(target)
        return page.state != "read" or NotYet("read")

    wait_for("the end to be noticed", noticed, timeout=20)
    with pytest.raises(StepMissing, match="collector does not run any more"):
        metrics.check_pages(target, checks)


def assert_the_checkpoint_can_fail(target: LocalTarget) -> None:
    """Each thing that it proves, wrong once."""
    asked = Table([Asked("How many?", 1.0, 1, grounded=True)])
    answer = Answer("How many?", "11", 1.0, (ToolCall("count", {}, True, "11"),), True, "")
    lines = Table([Step("llama-stack", "q-1", "x"), Step("model", "", "x"),
                   Step("mcp-server", "q-1", "x")])  # fmt: skip
    good = Load(
        asked,
        values={m.key: (0.0, 0.0 if m.load == "zero" else 1.0, 0.0) for m in metrics.METRICS},
        counted={"questions": 1.0, "tool calls": 1.0},
    )
    followed = Followed("q-1", answer, lines)
    assert verify_monitoring(target, good, followed)

    def fault(load: Load = good, seen: Followed = followed) -> str:
        with pytest.raises(CheckFailed) as failed:
            verify_monitoring(target, load, seen)
        return str(failed.value.state)

    for metric in metrics.METRICS:
        if metric.load == "stays":
            continue
        wrong = 1.0 if metric.load == "zero" else 0.0
        values = good.values | {metric.key: (wrong, wrong, 0.0)}
        assert fault(replace(good, values=values)).startswith(f"{metric.title}: expected ")
    gone = {key: value for key, value in good.values.items() if key != "queue"}
    without = replace(good, values=gone, reasons={"queue": ""})
    assert fault(without) == "Requests that wait for the model: expected a value, saw none"
    assert verify_monitoring(target, replace(without, reasons={"queue": "a reason"}), followed)
    none = {key: (0.0, 0.0, 0.0) if key in ("tool calls", "queries") else value
            for key, value in good.values.items()}  # fmt: skip
    assert "Tool calls at the MCP server: expected more than 0" in fault(replace(good, values=none))
    assert verify_monitoring(target, replace(good, values=none, of_data=False), followed)
    counted = {"questions": 2.0, "tool calls": 1.0}
    assert "Prometheus counted the questions: expected 1, saw 2" in fault(
        replace(good, counted=counted)
    )
    unmarked = Table(replace(line, mark="") for line in lines)
    assert "the question q-1 is in the logs" in fault(seen=replace(followed, lines=unmarked))
    silent = Table(line for line in lines if line.part != "model")
    assert "the model's log shows it" in fault(seen=replace(followed, lines=silent))
    canary = target.store.secret("canary", lambda: "canary-5e1d").reveal()
    shown = Table([*lines, Step("model", "", f"Bearer {canary}")])
    assert "no credential is in these lines: expected none, saw 1" in fault(
        seen=replace(followed, lines=shown)
    )


def test_prometheus_is_named_when_it_was_not_deployed(target: LocalTarget) -> None:
    with pytest.raises(StepMissing) as missing:
        workshop.query_prometheus(target, "up")
    assert str(missing.value).startswith("prometheus was not deployed yet, or was stopped.")
    assert missing.value.hint == "run 09_watch_the_system first"


def test_nothing_to_watch_is_said(target: LocalTarget) -> None:
    with pytest.raises(StepMissing, match=r"was not deployed yet"):
        workshop.deploy_prometheus(target)


def test_where_it_cannot_be_had_everything_is_skipped_with_the_reason(
    target: LocalTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKSHOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("DEBIAN_MIRROR", "http://127.0.0.1:1/debian")
    told = workshop.deploy_prometheus(target)
    assert isinstance(told, Told)
    assert told.startswith("No Debian mirror gave prometheus: install prometheus 2.31 or newer")
    assert list(workshop.list_scrape_targets(target)) == []
    load = measure_burst(target, None)  # type: ignore[arg-type]
    assert repr(load) == f"Nothing was measured: {told}"
    nobody = Followed("", None, Table())
    assert repr(verify_monitoring(target, load, nobody)) == f"Metrics: skipped: {told}"


@pytest.mark.parametrize("count", [0, 5])
def test_a_burst_is_no_load_test(target: LocalTarget, count: int) -> None:
    with pytest.raises(SettingsError, match=f"QUESTIONS = {count} cannot be asked"):
        measure_burst(target, None, count=count)  # type: ignore[arg-type]


def test_a_skipped_load_shows_its_reason() -> None:
    data, _about = Load(skipped="no")._repr_mimebundle_()
    assert data == {"text/plain": "Nothing was measured: no"}
