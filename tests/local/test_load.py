"""Load, played by the real locust on a real server that counts what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import pytest
from workshop import load
from workshop.errors import PartFailed
from workshop.load import Request
from workshop.masked import Secret
from workshop.progress import stages
from workshop.target import Endpoint

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


def measure(server: Counting, body: dict[str, Any], **options: Any) -> load.Series:
    request = Request("question", "http", "/ask", body)
    with stages("load") as stage:
        return load.measure(request, [server.endpoint], stage=stage, **options)


def test_users_are_stepped_and_every_request_is_counted(counting: Counting) -> None:
    series = measure(counting, {"q": 1}, users=[1, 4], seconds=1.0, at_most=500)
    one, four = series.points
    assert (one.users, four.users) == (1, 4)
    assert one.requests + four.requests == len(counting.asked)
    assert counting.most_at_once == 4
    assert {asked[2] for asked in counting.asked} == {f"Bearer {SECRET}"}
    assert {asked[0] for asked in counting.asked} == {"/ask"}
    assert counting.asked[0][1] == {"q": 1}
    # One worker: four users wait for each other, and get no more done.
    assert one.p50 >= PAUSE
    assert four.p50 > 2.5 * one.p50
    assert four.p95 >= four.p50
    assert four.per_second < 1 / PAUSE
    assert not one.failures + four.failures


def test_a_step_ends_when_its_count_is_over(counting: Counting) -> None:
    series = measure(counting, {}, users=[2], seconds=30.0, at_most=6)
    assert series.busiest.requests == len(counting.asked) == 6


def test_failures_are_counted_and_quoted_and_give_no_latency(counting: Counting) -> None:
    point = measure(counting, {"fail": True}, users=[1], seconds=5.0, at_most=3).busiest
    assert (point.requests, point.failures, point.p50) == (0, 3, 0.0)
    assert "500" in point.failure


def test_a_server_that_is_away_is_a_failure_and_no_endless_one(counting: Counting) -> None:
    away = Endpoint("http://127.0.0.1:1")
    with stages("load") as stage:
        series = load.measure(
            Request("question", "http", "/"), [away], users=[1], seconds=5, at_most=4, stage=stage
        )
    assert series.busiest.failures == 4
    assert "ConnectError" in series.busiest.failure


def test_users_take_the_replicas_in_turn() -> None:
    servers = [Counting(), Counting()]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with stages("load") as stage:
        series = load.measure(
            Request("question", "http", "/ask", {}),
            [server.endpoint for server in servers],
            users=[2],
            seconds=1.0,
            at_most=500,
            stage=stage,
        )
    first, second = (len(server.asked) for server in servers)
    assert series.replicas == 2
    assert first + second == series.busiest.requests
    assert min(first, second) > 0.6 * max(first, second)
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_credential_is_on_no_command_line_and_nothing_is_left(counting: Counting) -> None:
    seen: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            for process in psutil.Process().children(recursive=True):
                seen.append(" ".join(process.cmdline()))

    looking = threading.Thread(target=look)
    looking.start()
    measure(counting, {}, users=[1], seconds=0.5, at_most=100)
    done.set()
    looking.join()
    assert any("workshop.load_users" in line for line in seen)
    assert not [line for line in seen if SECRET in line]
    assert not psutil.Process().children(recursive=True)


def test_locust_that_ends_is_an_error_with_what_it_said(counting: Counting) -> None:
    with pytest.raises(PartFailed) as failed, stages("load") as stage:
        load.measure(
            Request("question", "http", "/", {}),
            [counting.endpoint],
            users=["many"],  # type: ignore[list-item]
            seconds=1,
            at_most=1,
            stage=stage,
        )
    text = str(failed.value)
    assert text.startswith("The load could not be played.")
    assert "Last state: locust ended with 1" in text
    assert "Hint: workshop status; then run this cell again" in text
    assert SECRET not in text
