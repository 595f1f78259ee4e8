"""A real Prometheus on a real page, and what is said where there is none."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import workshop
from workshop import collector, metrics, monitoring, prometheus
from workshop.checks import Checks
from workshop.errors import EndpointError, SettingsError, StepMissing
from workshop.gpu_nodes import Told
from workshop.load import Load, watch_questions
from workshop.local.setup import locate
from workshop.local.target import LocalTarget
from workshop.loglines import Followed
from workshop.progress import Stages
from workshop.settings import Settings
from workshop.table import Table
from workshop.target import Endpoint
from workshop.wait import NotYet, wait_for
from workshop.watching import verify_watching

PUSH = Path(__file__).parent / "standin" / "push.py"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[LocalTarget]:
    """A local target in a folder of its own; what it started is stopped."""
    target = LocalTarget(Settings(state=tmp_path / "state"))
    yield target
    target.clean_up(data=True)


@pytest.fixture
def pushed(target: LocalTarget) -> Endpoint:
    """A collector that Llama Stack's telemetry has pushed three requests to."""
    stage = Stages("test")
    endpoint = collector.deploy(target, timeout=30, stage=stage)
    env = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint.url, "OTEL_SDK_DISABLED": "false"}
    python = str(locate("llama-stack") / "bin" / "python")
    subprocess.run([python, str(PUSH)], env=env, check=True, timeout=120)
    return endpoint


def test_the_pages_of_the_parts_that_run_are_read(target: LocalTarget, pushed: Endpoint) -> None:
    deployed = workshop.deploy_prometheus(target)
    assert not isinstance(deployed, Told)
    (page,) = workshop.pages(target)
    assert (page.part, page.state) == ("llama-stack", "read")
    assert page.url == f"{pushed.url}/metrics"
    endpoint = deployed.endpoint
    assert prometheus.value(endpoint, 'sum(llama_stack_requests_total{status="success"})') == 2
    assert prometheus.value(endpoint, "sum(nothing_of_this_name)") is None
    (sample,) = workshop.query(target, 'llama_stack_requests_total{status="error"}')
    assert sample.value == 1
    assert "part=llama-stack" in sample.labels
    for metric in metrics.METRICS:
        prometheus.value(endpoint, metric.query("1m"))  # Each is understood.
    with pytest.raises(EndpointError, match="parse error"):
        workshop.query(target, "sum(")
    again = workshop.deploy_prometheus(target)
    assert not isinstance(again, Told)
    assert again.action == "reused"

    record = target._process("collector").record()
    assert record
    os.kill(record.pid, signal.SIGKILL)
    checks = Checks("test")

    def noticed() -> object:
        (page,) = workshop.pages(target)
        return page.state != "read" or NotYet("read")

    wait_for("the end to be noticed", noticed, timeout=20)
    with pytest.raises(StepMissing, match="collector does not run any more"):
        monitoring.check_pages(target, checks)


def test_prometheus_is_named_when_it_was_not_deployed(target: LocalTarget) -> None:
    with pytest.raises(StepMissing) as missing:
        workshop.query(target, "up")
    assert str(missing.value).startswith("prometheus was not deployed yet.")
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
    assert list(workshop.pages(target)) == []
    load = watch_questions(target, None)  # type: ignore[arg-type]
    assert repr(load) == f"Nothing was measured: {told}"
    nobody = Followed("", None, Table())
    assert repr(verify_watching(target, load, nobody)) == f"Metrics: skipped: {told}"


@pytest.mark.parametrize("count", [0, 5])
def test_a_burst_is_no_load_test(target: LocalTarget, count: int) -> None:
    with pytest.raises(SettingsError, match=f"QUESTIONS = {count} cannot be asked"):
        watch_questions(target, None, count=count)  # type: ignore[arg-type]


def test_a_skipped_load_shows_its_reason() -> None:
    assert Load(skipped="no")._repr_mimebundle_() == {"text/plain": "Nothing was measured: no"}
