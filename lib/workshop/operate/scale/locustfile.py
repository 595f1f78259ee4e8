"""The users that locust plays: ``python -m workshop.operate.scale.locustfile``, run by ``load``.

A program of its own, because locust replaces Python's sockets by its own. It reads what to ask as
JSON from standard input, the credentials from the environment, and writes a line of JSON a step:
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
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
from gevent.event import Event

from workshop.clients import http, mcp
from workshop.core.secret import Secret
from workshop.targets.base import Endpoint

Ask = Callable[[], int]
"""Asks once, and gives the size of the answer in characters; raises when it failed."""


def main() -> None:
    """Play the steps of the plan on standard input."""
    plan = json.load(sys.stdin)
    # Whatever hangs: this process ends.
    signal.alarm(int(plan["limit"]))
    secrets = json.loads(os.environ["SERVER_TOKEN"])
    kinds = [Kind(one, secret, plan) for one, secret in zip(plan["asked"], secrets, strict=True)]
    for kind in kinds:
        kind.warm_up()
    for users in plan["users"]:
        for number, kind in enumerate(kinds):
            step = {"asked": number, "users": users, **kind.play(users)}
            sys.stdout.write(json.dumps(step) + "\n")
            sys.stdout.flush()


class Kind:
    """One kind of request, and the users that ask it.

    Args:
        asked: What is asked, and of whom.
        credential: What is sent with it; "" when nothing is.
        plan: How long and how often.
    """

    def __init__(self, asked: dict[str, Any], credential: str, plan: dict[str, Any]) -> None:
        self.asked = asked | {"patience": plan["patience"]}
        self.credential = credential
        self.seconds, self.at_most = plan["seconds"], plan["at_most"]
        self.tickets: list[int] = []
        self._enough = Event()
        self._took: list[float] = []
        self._failed: list[str] = []
        self._first = self._last = 0.0
        self._environment = Environment(user_classes=[_user(self)], stop_timeout=plan["patience"])
        self._environment.events.request.add_listener(self._note)  # type: ignore[no-untyped-call]
        self._runner = self._environment.create_local_runner()

    def endpoint(self, number: int) -> Endpoint:
        """Whom the user of this number asks."""
        secret = Secret(self.credential) if self.credential else None
        database = self.asked["kind"] == "count"
        return Endpoint(
            self.asked["urls"][number % len(self.asked["urls"])],
            token=None if database else secret,
            user=self.asked["user"],
            password=secret if database else None,
            ca_file=Path(self.asked["ca_file"]) if self.asked["ca_file"] else None,
            server_name=self.asked["server_name"],
            adopted=self.asked["adopted"],
        )

    def prepared(self, endpoint: Endpoint, kept: ExitStack) -> Ask:
        """What asks this endpoint; ``kept`` closes its connections."""
        return ASKING[self.asked["kind"]](self.asked, endpoint, kept)

    def warm_up(self) -> None:
        """Ask each once, uncounted: the first answer of a model takes longer than all others."""
        for number in range(len(self.asked["urls"])):
            # The users will meet the same error, and count it.
            with ExitStack() as kept, suppress(Exception):
                self.prepared(self.endpoint(number), kept)()

    def play(self, users: int) -> dict[str, Any]:
        """Ask with so many users; gives seconds of the answered, texts of the failed."""
        self._took, self._failed = [], []
        self._first = self._last = 0.0
        self._enough.clear()
        self.tickets[:] = range(self.at_most)
        self._runner.start(users, spawn_rate=users)
        self._enough.wait(self.seconds)
        # Lets each user finish what it asks.
        self._runner.stop()
        return {
            "took": self._took,
            "failed": self._failed,
            "seconds": self._last - self._first,
        }

    def _note(self, response_time: float, exception: BaseException | None, **_more: object) -> None:
        self._last = time.monotonic()
        # Of the first question, not of the user: it may have had to open a session before.
        self._first = min(self._first or self._last, self._last - response_time / 1000)
        if exception is None:
            self._took.append(round(response_time / 1000, 6))
        else:
            self._failed.append(f"{type(exception).__name__}: {exception}"[:300])
        if len(self._took) + len(self._failed) >= self.at_most:
            self._enough.set()


def _user(kind: Kind) -> type[User]:
    """A user that asks this, on connections of its own.

    A request costs a ticket; without one left, users go.
    """
    numbers = itertools.count()

    class Asker(User):
        """Asks again as soon as it is answered."""

        def on_start(self) -> None:
            self.kept = ExitStack()
            self.asking: Ask | None = None
            self.endpoint = kind.endpoint(next(numbers))

        def on_stop(self) -> None:
            self.kept.close()

        @task
        def ask(self) -> None:
            if not kind.tickets:
                raise StopUser
            kind.tickets.pop()
            if self.asking is None:
                # What a session costs is not what a request costs.
                self.asking = self._prepared()
            size, error = 0, None
            began = time.perf_counter()
            try:
                size = self.asking()
            except Exception as caught:
                error = caught
            self.environment.events.request.fire(
                request_type=kind.asked["kind"],
                name=kind.asked["name"],
                response_time=(time.perf_counter() - began) * 1000,
                response_length=size,
                exception=error,
                context={},
            )

        def _prepared(self) -> Ask:
            try:
                return kind.prepared(self.endpoint, self.kept)
            except Exception as caught:
                error = caught

            def fail() -> int:
                self.asking = None
                raise error

            return fail

    return Asker


def _http(plan: dict[str, Any], endpoint: Endpoint, kept: ExitStack) -> Ask:
    client = kept.enter_context(
        httpx.Client(
            verify=http.tls(endpoint),
            timeout=plan["patience"],
            trust_env=False,
            proxy=http.through(http.proxy(endpoint)),
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
    session = kept.enter_context(mcp.plain_session(endpoint, plan["path"]))

    def ask() -> int:
        result = session(plan["body"]["name"], plan["body"]["arguments"])
        if result.failed:
            raise RuntimeError(result.text[:200])
        return len(result.text)

    return ask


def _count(plan: dict[str, Any], endpoint: Endpoint, kept: ExitStack) -> Ask:
    from workshop.parts import mongodb

    database = kept.enter_context(mongodb.connected(endpoint))
    return lambda: int(database[plan["path"]].count_documents({}))


ASKING: dict[str, Callable[[dict[str, Any], Endpoint, ExitStack], Ask]] = {
    "http": _http,
    "tool": _tool,
    "count": _count,
}

if __name__ == "__main__":
    main()
