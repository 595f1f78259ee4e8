"""Load by the real locust on a real server that counts what it was asked."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import pytest
from workshop.core.errors import PartFailed
from workshop.core.progress import stages
from workshop.core.secret import Secret
from workshop.core.table import Table
from workshop.operate import load
from workshop.operate.load import Request
from workshop.targets.base import Endpoint

PAUSE = 0.05
SECRET = "a-token-of-the-test"


class Counting(ThreadingHTTPServer):
    """Answers one request at a time, each after ``PAUSE`` seconds, as a part with one worker."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, Any, str]] = []
        self.at_once = self.most_at_once = 0
        self.worker, self.counting = threading.Lock(), threading.Lock()
        self.endpoint = Endpoint(f"http://127.0.0.1:{self.server_address[1]}", Secret(SECRET))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Counting

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with server.counting:
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            server.asked.append((self.path, body, self.headers.get("authorization", "")))
        with server.worker:
            threading.Event().wait(PAUSE)
        with server.counting:
            server.at_once -= 1
        self.send_response(500 if body.get("fail") else 200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def counting() -> Iterator[Counting]:
    server = Counting()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def measure(server: Counting, body: dict[str, Any], **options: Any) -> Table[load.Point]:
    request = Request("question", "http", "/ask", body, [server.endpoint], 1)
    with stages("load") as stage:
        return load.measure([request], stage=stage, **options).series["question"]


@pytest.fixture
def command_lines() -> Iterator[list[str]]:
    """Those of all programs that are started during the test."""
    seen: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    seen.append(" ".join(process.cmdline()))

    looking = threading.Thread(target=look)
    looking.start()
    yield seen
    done.set()
    looking.join()


def test_users_are_stepped_and_every_request_is_counted(
    counting: Counting, command_lines: list[str]
) -> None:
    one, four = measure(counting, {"q": 1}, users=[1, 4], seconds=1.0, at_most=500)
    assert any("workshop.operate.locustfile" in line for line in command_lines)
    assert not [line for line in command_lines if SECRET in line]
    left = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # an earlier test's, ending
            left.append(" ".join(process.cmdline()))
    assert not [line for line in left if "workshop.operate.locustfile" in line]
    assert (one.users, four.users) == (1, 4)
    # One more, uncounted, to warm up.
    assert one.answered + four.answered == len(counting.asked) - 1
    assert counting.most_at_once == 4
    assert {asked[2] for asked in counting.asked} == {f"Bearer {SECRET}"}
    assert {asked[0] for asked in counting.asked} == {"/ask"}
    assert counting.asked[0][1] == {"q": 1}
    # One worker: four users wait for each other, and get no more done.
    assert one.half_within >= PAUSE
    assert four.half_within > 2.5 * one.half_within
    assert four.most_within >= four.half_within
    assert four.per_second < 1 / PAUSE
    assert not one.failed + four.failed


def test_a_step_ends_with_its_count_and_failures_are_counted_and_quoted(
    counting: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    requests = [
        Request("good", "http", "/good", {}, [counting.endpoint], 1),
        Request("bad", "http", "/bad", {"fail": True}, [counting.endpoint], 1),
        Request("away", "http", "/good", {}, [Endpoint("http://127.0.0.1:1")], 1),
    ]
    with stages("load") as stage:
        measured = load.measure(requests, users=[2], seconds=30.0, at_most=6, stage=stage)
    answered, failed, away = measured.rows
    assert (answered.answered, answered.failed) == (6, 0)
    assert (failed.answered, failed.failed, failed.half_within) == (0, 6, 0.0)
    assert "500" in failed.failure
    assert (away.answered, away.failed) == (0, 6)
    assert "ConnectError" in away.failure
    assert f"6 failed: {away.failure}" in capsys.readouterr().err
    paths = [path for path, _, _ in counting.asked]
    # One more of each, uncounted, to warm up.
    assert (paths.count("/good"), paths.count("/bad")) == (7, 7)


def test_users_take_the_replicas_in_turn() -> None:
    servers = [Counting(), Counting()]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with stages("load") as stage:
        ends = [server.endpoint for server in servers]
        request = Request("question", "http", "/ask", {}, ends, 2)
        measured = load.measure([request], users=[2], seconds=1.0, at_most=500, stage=stage)
    (point,) = measured.rows
    first, second = (len(server.asked) for server in servers)
    assert point.replicas == 2
    assert first + second - 2 == point.answered
    assert min(first, second) > 0.6 * max(first, second)
    for server in servers:
        server.shutdown()
        server.server_close()


def test_locust_that_ends_is_an_error_with_what_it_said(counting: Counting) -> None:
    request = Request("question", "http", "/", {}, [counting.endpoint], 1)
    many: Any = ["many"]
    with pytest.raises(PartFailed) as failed, stages("load") as stage:
        load.measure([request], users=many, seconds=1, at_most=1, stage=stage)
    text = str(failed.value)
    assert text.startswith("The load could not be generated.")
    assert "Last state: locust ended with 1" in text
    assert "Hint: workshop status; then run this cell again" in text
    assert SECRET not in text
