"""Locust's users: ``python -m workshop.operate.locustfile``, which ``load`` runs.

A program of its own, because locust replaces Python's sockets by its own. It reads the plan, with
the credentials, as JSON from standard input, and writes a line of JSON per step: the number of the
request, and its ``Point``.
"""

from __future__ import annotations

# First: it replaces the sockets that all others import.
from locust import User, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import Runner

# isort: split
import itertools
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from gevent.event import Event

from workshop.clients import http, mcp
from workshop.core.secret import Secret
from workshop.operate.load import PATIENCE, Point, Request
from workshop.parts import mongodb
from workshop.targets.base import Endpoint

Ask = Callable[[], int]
"""Asks once, and gives the size of the answer in characters; raises when it failed."""


def main() -> None:
    """Run the steps of the plan on standard input."""
    plan = json.load(sys.stdin)
    # Whatever hangs: this process ends.
    signal.alarm(int(plan["limit"]))
    kinds = [_kind(number, one) for number, one in enumerate(plan["requests"])]
    environment = Environment(user_classes=[*kinds], stop_timeout=PATIENCE)
    runner = environment.create_local_runner()
    for kind in kinds:
        kind.warm_up()
    for users in plan["users"]:
        for number, kind in enumerate(kinds):
            point = kind.run_step(runner, users, plan["seconds"], plan["at_most"])
            sys.stdout.write(json.dumps([number, vars(point)]) + "\n")
            sys.stdout.flush()


class Asker(User):
    """Asks one request again as soon as it is answered, on a connection of its own."""

    abstract = True
    request: Request
    left: int  # Requests that the users of this step together may still start.
    began: float  # When the first request of this step started, in seconds since the epoch.
    numbers: Iterator[int]  # Of the users of this step; each takes the endpoint of its number.
    enough: Event  # Set when no request is left.

    @classmethod
    def warm_up(cls) -> None:
        """Ask each endpoint once, uncounted: a model's first answer takes longest."""
        for endpoint in cls.request.endpoints:
            # The users will meet the same error, and count it.
            with ExitStack() as kept, suppress(Exception):
                _asking(cls.request, endpoint, kept)()

    @classmethod
    def run_step(cls, runner: Runner, users: int, seconds: float, at_most: int) -> Point:
        """Let so many users ask, until the time or the count is over."""
        cls.left, cls.began = at_most, 0.0
        cls.numbers, cls.enough = itertools.count(), Event()
        # Not by a LoadTestShape: it is asked once per second only, its steps overlap, and they
        # share one statistic.
        runner.start(users, spawn_rate=users, user_classes=[cls])
        cls.enough.wait(seconds)
        # Lets each user finish what it asks.
        runner.stop()
        seen = runner.stats.total
        took = (seen.last_request_timestamp or cls.began) - cls.began
        first = next((one.error for one in runner.errors.values()), None)
        return Point(
            users,
            seen.num_requests,
            seen.num_failures,
            round(seen.num_requests / took, 2) if took else 0.0,
            seen.get_response_time_percentile(0.50) / 1e6,
            seen.get_response_time_percentile(0.95) / 1e6,
            f"{type(first).__name__}: {first}".splitlines()[0][:300] if first else "",
        )

    def on_start(self) -> None:
        """Connect: what a session costs is not what a request costs."""
        endpoints = self.request.endpoints
        self.endpoint = endpoints[next(self.numbers) % len(endpoints)]
        self.kept = ExitStack()
        self.asking: Ask | None = None
        # A request will meet the same error, and count it.
        with suppress(Exception):
            self.asking = _asking(self.request, self.endpoint, self.kept)

    def on_stop(self) -> None:
        """Close the connection."""
        self.kept.close()

    @task
    def ask(self) -> None:
        """Ask once, if there is a request left."""
        kind, request, stats = type(self), self.request, self.environment.stats
        if not kind.left:
            kind.enough.set()
            raise StopUser
        kind.left -= 1
        kind.began = kind.began or time.time()
        began = time.perf_counter()
        try:
            self.asking = self.asking or _asking(request, self.endpoint, self.kept)
            size = self.asking()
        except Exception as error:
            stats.log_error(request.kind, request.name, error)
        else:
            # In microseconds: of milliseconds, locust keeps none below one.
            took = round(1e6 * (time.perf_counter() - began))
            stats.log_request(request.kind, request.name, took, size)


def _kind(number: int, plain: dict[str, Any]) -> type[Asker]:
    """Users of one request of the plan. Locust tells classes apart by their names."""
    asked = Request(**plain | {"endpoints": [_endpoint(one) for one in plain["endpoints"]]})
    return type(f"Kind{number}", (Asker,), {"request": asked})


def _endpoint(plain: dict[str, Any]) -> Endpoint:
    kinds = (("token", Secret), ("password", Secret), ("ca_file", Path))
    return Endpoint(**plain | {key: kind(plain[key]) for key, kind in kinds if plain[key]})


def _asking(request: Request, endpoint: Endpoint, kept: ExitStack) -> Ask:
    """What asks this endpoint, on a connection that is ``kept``."""
    return {"http": _http, "tool": _tool, "count": _count}[request.kind](request, endpoint, kept)


def _http(request: Request, endpoint: Endpoint, kept: ExitStack) -> Ask:
    client = kept.enter_context(http.client(endpoint, PATIENCE))
    client.headers.update(http.headers(endpoint))
    extensions = {"sni_hostname": endpoint.server_name} if endpoint.server_name else {}
    method = "GET" if request.body is None else "POST"

    def ask() -> int:
        answer = client.request(
            method, endpoint.url + request.path, json=request.body, extensions=extensions
        )
        answer.raise_for_status()
        return len(answer.text)

    return ask


def _tool(request: Request, endpoint: Endpoint, kept: ExitStack) -> Ask:
    session = kept.enter_context(mcp.plain_session(endpoint, request.path))
    body = request.body or {}

    def ask() -> int:
        result = session(body["name"], body["arguments"])
        if result.failed:
            raise RuntimeError(result.text[:200])
        return len(result.text)

    return ask


def _count(request: Request, endpoint: Endpoint, kept: ExitStack) -> Ask:
    database = kept.enter_context(mongodb.connected(endpoint))
    return lambda: int(database[request.path].count_documents({}))


if __name__ == "__main__":
    main()
