"""Load on a part, bounded in time and in count, by locust; as plain data.

Locust runs in a process of its own (``locustfile``), because it replaces Python's sockets by its
own. Users are stepped: each step has more of them, each user asks again as soon as it is answered,
and a step ends when its time or its count is over.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from workshop.core.errors import PartFailed, SettingsError
from workshop.core.progress import Stages
from workshop.core.secret import Secret, mask
from workshop.core.table import Table
from workshop.targets.base import Endpoint

PATIENCE = 60.0
"""Seconds that a request which is under way at the end of a step may still take."""

START = 30.0
"""Seconds that locust may take until its first user asks."""

MOST_USERS = 64
"""Users that are simulated at most: this shows a trend, and is no attack."""


@dataclass(frozen=True)
class Request:
    """What users ask again and again, and who answers.

    Args:
        name: For tables and plots, such as ``chat``.
        kind: ``http``: GET, or POST with ``body``; ``tool``: an MCP tool, ``body`` its name and
            arguments, in one session per user; ``count``: a collection of MongoDB is counted.
        path: The HTTP path, or the collection.
        body: What is sent as JSON.
        endpoints: Of the part's replicas: user n asks number n, round and round.
        replicas: How many replicas answer; more than there are endpoints behind a Service.
    """

    name: str
    kind: Literal["http", "tool", "count"]
    path: str
    body: Mapping[str, Any] | None
    endpoints: Sequence[Endpoint]
    replicas: int


@dataclass(frozen=True)
class Point:
    """What a number of users saw. Latencies are in seconds, of the requests that were answered.

    They are as locust keeps them: to two digits, and above 10 ms to the millisecond.

    Args:
        users: How many asked at the same time.
        requests: How many requests were answered.
        failures: How many were not.
        per_second: Answered requests per second, by all users together.
        p50: Half of the requests took no longer.
        p95: 95 of 100 took no longer.
        failure: What the first failure said, or "".
    """

    users: int
    requests: int
    failures: int
    per_second: float
    p50: float
    p95: float
    failure: str = ""


@dataclass(frozen=True)
class Series:
    """One kind of request, asked by more and more users.

    Args:
        name: The request's name.
        replicas: How many replicas of the part answered.
        points: One per number of users, fewest first.
    """

    name: str
    replicas: int
    points: Table[Point] = field(default_factory=Table)

    @property
    def busiest(self) -> Point:
        """With the most users."""
        return self.points[-1]


def steps(most: int) -> list[int]:
    """Numbers of users, each twice the one before, up to ``most``.

    Raises:
        SettingsError: Fewer than one, or more than ``MOST_USERS``.

    Example:
        >>> steps(6)
        [1, 2, 4, 6]
    """
    if not 1 <= most <= MOST_USERS:
        raise SettingsError(
            f"{most} users cannot be simulated.",
            where="the parameter MOST_USERS",
            hint=f"1 to {MOST_USERS}",
        )
    doubled = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*doubled, most]


def measure(
    requests: Sequence[Request],
    *,
    users: Sequence[int],
    seconds: float,
    at_most: int,
    stage: Stages,
) -> list[Series]:
    """Ask with each of these numbers of users in turn; a series for each request.

    With each number of users all requests come one after the other, so that what else the machine
    does affects all of them alike.

    Args:
        requests: What is asked, and of whom.
        users: Numbers of users, fewest first.
        seconds: How long each number of users asks each request.
        at_most: Requests after which that ends sooner.
        stage: Shows progress.

    Raises:
        PartFailed: Locust ended, with the end of what it said.
    """
    series = [Series(one.name, one.replicas) for one in requests]
    plan = {
        "requests": list(requests),
        "users": list(users),
        "seconds": seconds,
        "at_most": at_most,
        "limit": START + len(requests) * len(users) * (seconds + PATIENCE),
    }
    with _locust(plan, [end for one in requests for end in one.endpoints]) as lines:
        for line in lines:
            number, values = json.loads(line)
            one, point = series[number], Point(**values)
            one.points.append(point)
            failed = f"; {point.failures} failed: {point.failure}" if point.failures else ""
            stage(
                f"{one.name}, {point.users} users: {point.per_second:g} a second, "
                f"half within {point.p50:g} s{failed}"
            )
    return series


@contextmanager
def _locust(plan: Mapping[str, Any], endpoints: Sequence[Endpoint]) -> Iterator[Iterator[str]]:
    """Locust's process, which gives a line per step. It ends with this block, whatever happens."""
    secrets = [secret for one in endpoints for secret in (one.token, one.password) if secret]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            [sys.executable, "-m", "workshop.operate.scale.locustfile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
            # The credentials go this way too: ps shows arguments, and files stay.
            json.dump(plan, process.stdin, default=_plain)
            process.stdin.close()
            yield (mask(line, secrets) for line in process.stdout)
            code = process.wait()
        finally:
            process.kill()
        if code:
            said.seek(0)
            raise PartFailed(
                "The load could not be generated.",
                where=", ".join(dict.fromkeys(endpoint.url for endpoint in endpoints)),
                state=f"locust ended with {code}",
                log=mask(said.read(), secrets).splitlines(),
                hint="workshop status; then run this cell again",
            )


def _plain(value: object) -> object:
    """What JSON cannot write, as something that it can; a credential in clear."""
    if isinstance(value, Secret):
        return value.reveal()
    return str(value) if isinstance(value, Path) else vars(value)
