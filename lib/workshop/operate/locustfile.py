"""Locust's users: ``python -m workshop.operate.locustfile``, which ``load`` runs.

A program of its own, because locust replaces Python's sockets by its own. It reads the plan, with
the credentials, as JSON from standard input, and writes a ``Point`` as a line of JSON per step.
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
from contextlib import ExitStack, contextmanager, suppress
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
    for request in (kind.request for kind in kinds):
        for endpoint in request.endpoints:
            # Once, uncounted: a model's first answer takes longest. The users will meet the same
            # error, and count it.
            with suppress(Exception), _connected(request, endpoint) as ask:
                ask()
    for users in plan["users"]:
        for kind in kinds:
            point = kind.run_step(runner, users, plan["seconds"], plan["at_most"])
            sys.stdout.write(json.dumps(vars(point)) + "\n")
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
            cls.request.name,
            cls.request.replicas,
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
            self._connect()

    def _connect(self) -> Ask:
        self.asking = self.kept.enter_context(_connected(self.request, self.endpoint))
        return self.asking

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
            size = (self.asking or self._connect())()
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


@contextmanager
def _connected(request: Request, endpoint: Endpoint) -> Iterator[Ask]:
    """What asks this endpoint, on one connection."""
    if request.kind == "count":
        with mongodb.connected(endpoint) as database:
            yield lambda: int(database[request.path].count_documents({}))
        return
    body = request.body or {}
    if request.kind == "tool":
        with mcp.plain_session(endpoint, request.path) as session:

            def call() -> int:
                result = session(body["name"], body["arguments"])
                if result.failed:
                    raise RuntimeError(result.text[:200])
                return len(result.text)

            yield call
        return
    method, url = "GET" if request.body is None else "POST", endpoint.url + request.path
    extensions = {"sni_hostname": endpoint.server_name} if endpoint.server_name else {}
    with http.client(endpoint, PATIENCE) as client:
        client.headers.update(http.headers(endpoint))

        def send() -> int:
            answer = client.request(method, url, json=request.body, extensions=extensions)
            answer.raise_for_status()
            return len(answer.text)

        yield send


if __name__ == "__main__":
    main()
