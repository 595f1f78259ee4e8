"""The collector, fed by Llama Stack's own telemetry and read as Prometheus reads it."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from workshop.core.wait import NotYet, wait_for
from workshop.setup import locate
from workshop.targets.local.programs.collector import SCRIPT

PUSH = Path(__file__).parents[1] / "standin" / "push.py"


@pytest.fixture
def collector(port: int, request: pytest.FixtureRequest) -> Iterator[str]:
    """Its address; a test that wants it to forget early says after how many seconds."""
    python = str(locate("llama-stack") / "bin" / "python")
    patience = getattr(request, "param", 60)
    argv = [python, str(SCRIPT), f"--port={port}", f"--patience={patience}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == f"listening on 127.0.0.1:{port}\n"
        yield f"http://127.0.0.1:{port}"
        running.terminate()
        # As a container's first process it is not ended by a SIGTERM that it does not handle.
        assert running.wait(10) == 0


def ask(url: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    sent = urllib.request.Request(url, body, {k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(sent, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def push(address: str) -> None:
    env = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_SDK_DISABLED": "false"}
    python = str(locate("llama-stack") / "bin" / "python")
    done = subprocess.run(
        [python, str(PUSH)], env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_what_llama_stack_pushes_is_shown_as_prometheus_reads_it(collector: str) -> None:
    assert ask(f"{collector}/health") == (200, "ok\n")
    assert ask(f"{collector}/metrics")[0] == 503
    push(collector)
    status, text = ask(f"{collector}/metrics")
    assert status == 200
    assert "# TYPE llama_stack_requests_total counter\n" in text
    assert "# TYPE llama_stack_request_duration_seconds histogram\n" in text
    assert "# TYPE llama_stack_concurrent_requests gauge\n" in text
    asked = 'api="responses",method="create_openai_response"'
    quoted = r'status_code="quoted \"200\""'
    good = f'llama_stack_requests_total{{{asked},status="success",{quoted},source="127.0.0.1"}} 2'
    assert good in text.splitlines()
    assert re.search(rf"_duration_seconds_count{{{asked},source=.*}} 3$", text, re.M)
    assert re.search(rf"_duration_seconds_sum{{{asked},source=.*}} 37.5$", text, re.M)
    buckets = re.findall(rf'_duration_seconds_bucket{{{asked},.*,le="(.+)"}} (\d+)$', text, re.M)
    assert dict(buckets)["5"] == "1"
    assert dict(buckets)["10"] == "2"
    assert dict(buckets)["+Inf"] == "3"
    counts = [int(count) for _bound, count in buckets]
    assert counts == sorted(counts)


@pytest.mark.parametrize("collector", [1.0], indirect=True)
def test_a_server_that_fell_silent_counts_as_down(collector: str) -> None:
    push(collector)

    def silent() -> object:
        status, text = ask(f"{collector}/metrics")
        return text if status == 503 else NotYet(f"{status}")

    assert "no server has pushed" in str(wait_for("the silence", silent, timeout=10))


def test_what_is_no_push_is_refused_and_the_next_request_is_answered(collector: str) -> None:
    protobuf = {"content_type": "application/x-protobuf"}
    assert ask(f"{collector}/v1/metrics", b"\xff\xff\xff no protobuf", **protobuf)[0] == 400
    assert ask(f"{collector}/v1/metrics", b"no gzip", content_encoding="gzip", **protobuf)[0] == 400
    assert ask(f"{collector}/v1/metrics", b"", **protobuf)[0] == 413
    assert ask(f"{collector}/v1/traces", b"x", **protobuf)[0] == 404
    assert ask(f"{collector}/elsewhere")[0] == 404
    assert ask(f"{collector}/health")[0] == 200
