"""The users that locust plays: ``python -m workshop.load_users``, started by ``load``.

A program of its own, because locust replaces Python's sockets by its own. It reads what to ask as
JSON from standard input, the credential from the environment, and writes a line of JSON a step:
how many users, the seconds that each answered request took, and what each failure said.
"""

from __future__ import annotations

# First: it replaces the sockets that all others import.
from locust import User, task
from locust.env import Environment
from locust.exception import StopUser

# isort: split
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from gevent.event import Event

from workshop import http, mcp_client
from workshop.masked import Secret
from workshop.target import Endpoint

Ask = Callable[[], int]
"""Asks once, and gives the size of the answer in characters; raises when it failed."""


def main() -> None:
    """Play the steps of the plan on standard input."""
    plan = json.load(sys.stdin)
    # Whatever hangs: this process ends.
    signal.alarm(int(plan["limit"]))
    tickets: list[int] = []
    environment = Environment(user_classes=[_user(plan, tickets)], stop_timeout=plan["patience"])
    runner = environment.create_local_runner()
    took: list[float] = []
    failed: list[str] = []
    enough = Event()
    first = last = 0.0

    def note(response_time: float, exception: BaseException | None, **_more: object) -> None:
        nonlocal first, last
        last = time.monotonic()
        # Of the first question, not of the user: it may have had to open a session before.
        first = min(first or last, last - response_time / 1000)
        if exception is None:
            took.append(round(response_time / 1000, 6))
        else:
            failed.append(f"{type(exception).__name__}: {exception}"[:300])
        if len(took) + len(failed) >= plan["at_most"]:
            enough.set()

    environment.events.request.add_listener(note)  # type: ignore[no-untyped-call]
    for users in plan["users"]:
        took.clear()
        failed.clear()
        enough.clear()
        tickets[:] = range(plan["at_most"])
        first = last = 0.0
        runner.start(users, spawn_rate=users)
        enough.wait(plan["seconds"])
        # Lets each user finish what it asks.
        runner.stop()
        step = {"users": users, "took": took, "failed": failed, "seconds": last - first}
        sys.stdout.write(json.dumps(step) + "\n")
        sys.stdout.flush()


def _user(plan: dict[str, Any], tickets: list[int]) -> type[User]:
    """A kind of user that asks as the plan says, each on connections of its own.

    A request costs a ticket; without one left, users go.
    """
    numbers = itertools.count()

    class Asker(User):
        """Asks again as soon as it is answered."""

        def on_start(self) -> None:
            self.kept = ExitStack()
            self.asking: Ask | None = None
            self.endpoint = _endpoint(plan, next(numbers))

        def on_stop(self) -> None:
            self.kept.close()

        @task
        def ask(self) -> None:
            if not tickets:
                raise StopUser
            tickets.pop()
            size, error = 0, None
            if self.asking is None:
                # What a session costs is not what a request costs.
                self.asking = self._prepared()
            began = time.perf_counter()
            try:
                size = self.asking()
            except Exception as caught:
                error = caught
            self.environment.events.request.fire(
                request_type=plan["kind"],
                name=plan["name"],
                response_time=(time.perf_counter() - began) * 1000,
                response_length=size,
                exception=error,
                context={},
            )

        def _prepared(self) -> Ask:
            try:
                return ASKING[plan["kind"]](plan, self.endpoint, self.kept)
            except Exception as caught:
                error = caught

            def fail() -> int:
                self.asking = None
                raise error

            return fail

    return Asker


def _endpoint(plan: dict[str, Any], number: int) -> Endpoint:
    credential = os.environ.get("SERVER_TOKEN")
    secret = Secret(credential) if credential else None
    database = plan["kind"] == "count"
    return Endpoint(
        plan["urls"][number % len(plan["urls"])],
        token=None if database else secret,
        user=plan["user"],
        password=secret if database else None,
        ca_file=Path(plan["ca_file"]) if plan["ca_file"] else None,
        server_name=plan["server_name"],
    )


def _http(plan: dict[str, Any], endpoint: Endpoint, kept: ExitStack) -> Ask:
    client = kept.enter_context(
        httpx.Client(
            verify=http.tls(endpoint),
            timeout=plan["patience"],
            trust_env=False,
            headers=http.headers(endpoint),
        )
    )
    extensions = {"sni_hostname": endpoint.server_name} if endpoint.server_name else {}
    method = "GET" if plan["body"] is None else "POST"

    def ask() -> int:
        answer = client.request(
            method, endpoint.url + plan["path"], json=plan["body"], extensions=extensions
        )
        answer.raise_for_status()
        return len(answer.text)

    return ask


def _tool(plan: dict[str, Any], endpoint: Endpoint, kept: ExitStack) -> Ask:
    session = kept.enter_context(mcp_client.plain_session(endpoint, plan["path"]))

    def ask() -> int:
        result = session(plan["body"]["name"], plan["body"]["arguments"])
        if result.failed:
            raise RuntimeError(result.text[:200])
        return len(result.text)

    return ask


def _count(plan: dict[str, Any], endpoint: Endpoint, kept: ExitStack) -> Ask:
    from workshop import mongodb

    database = kept.enter_context(mongodb.connected(endpoint))
    return lambda: int(database[plan["path"]].count_documents({}))


ASKING: dict[str, Callable[[dict[str, Any], Endpoint, ExitStack], Ask]] = {
    "http": _http,
    "tool": _tool,
    "count": _count,
}

if __name__ == "__main__":
    main()
