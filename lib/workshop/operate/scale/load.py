"""Load on a part, bounded in time and in count, by locust; as plain data.

Locust runs in a process of its own (``locustfile``), because it replaces Python's sockets by its
own. Users are stepped: each step has more of them, each user asks again as soon as it is answered,
and a step ends when its time or its count is over.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import IO, Any, Literal

from workshop.core.errors import PartFailed, SettingsError
from workshop.core.progress import Stages
from workshop.core.secret import mask
from workshop.core.table import Table
from workshop.targets.base import Endpoint

PATIENCE = 60.0
"""Seconds that a request which is under way at the end of a step may still take."""

START = 30.0
"""Seconds that locust may take until its first user asks."""

MOST_USERS = 64
"""Users that are played at most: this shows a trend, and is no attack."""


@dataclass(frozen=True)
class Request:
    """What a user asks again and again.

    Args:
        name: For tables and plots, such as ``chat``.
        kind: ``http``: GET, or POST with ``body``; ``tool``: an MCP tool, ``body`` its name and
            arguments, in one session a user; ``count``: a collection of MongoDB is counted.
        path: The HTTP path, or the database and collection with a dot between them.
        body: What is sent as JSON.
    """

    name: str
    kind: Literal["http", "tool", "count"]
    path: str
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Asked:
    """A kind of request, and who is asked.

    Args:
        request: What is asked.
        endpoints: Of the part's replicas: user n asks number n, round and round.
        replicas: How many replicas answer, if another number than that of the endpoints.
    """

    request: Request
    endpoints: Sequence[Endpoint]
    replicas: int = 0


@dataclass(frozen=True)
class Point:
    """What a number of users saw. Latencies are in seconds, of the requests that were answered.

    Args:
        users: How many asked at the same time.
        requests: How many requests were answered.
        failures: How many were not.
        per_second: Answered requests a second, by all users together.
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
        points: One a number of users, fewest first.
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
            f"{most} users cannot be played.",
            where="the parameter MOST_USERS",
            hint=f"1 to {MOST_USERS}",
        )
    doubled = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*doubled, most]


def measure(
    asked: Sequence[Asked],
    *,
    users: Sequence[int],
    seconds: float,
    at_most: int,
    stage: Stages,
) -> list[Series]:
    """Ask with each of these numbers of users in turn; a series for each kind of request.

    With each number of users all kinds come one after the other, so that what else the machine does
    meets all of them alike.

    Args:
        asked: What is asked, and of whom.
        users: Numbers of users, fewest first.
        seconds: How long each number of users asks each kind.
        at_most: Requests after which that ends sooner.
        stage: Shows progress.

    Raises:
        PartFailed: Locust ended, with the end of what it said.
    """
    series = [Series(one.request.name, one.replicas or len(one.endpoints)) for one in asked]
    plan = {
        "asked": [_plan(one) for one in asked],
        "users": list(users),
        "seconds": seconds,
        "at_most": at_most,
        "patience": PATIENCE,
        "limit": START + len(asked) * len(users) * (seconds + PATIENCE),
    }
    with _locust(plan, [one.endpoints[0] for one in asked]) as lines:
        for line in lines:
            taken = json.loads(line)
            point = _point(taken["users"], taken["took"], taken["failed"], taken["seconds"])
            one = series[taken["asked"]]
            one.points.append(point)
            stage(
                f"{one.name}, {point.users} users: {point.per_second:g} a second, "
                f"half within {point.p50:g} s"
            )
    return series


def _plan(asked: Asked) -> dict[str, Any]:
    """What locust's process must know of one kind of request, but for its credential."""
    first = asked.endpoints[0]
    return {
        **asdict(asked.request),
        "urls": [endpoint.url for endpoint in asked.endpoints],
        "ca_file": str(first.ca_file) if first.ca_file else None,
        "server_name": first.server_name,
        "adopted": first.adopted,
        "user": first.user,
    }


@contextmanager
def _locust(plan: Mapping[str, Any], endpoints: Sequence[Endpoint]) -> Iterator[IO[str]]:
    """Locust's process, which gives a line a step. It ends with this block, whatever happens."""
    secrets = [endpoint.token or endpoint.password for endpoint in endpoints]
    held = json.dumps([secret.reveal() if secret else "" for secret in secrets])
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "workshop.operate.scale.locustfile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            # Not in its arguments, which ps shows, and not in a file.
            env=os.environ | {"SERVER_TOKEN": held},
        )
        try:
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
            process.stdin.write(json.dumps(plan))
            process.stdin.close()
            yield process.stdout
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close() if process.stdout else None
        if code:
            said.seek(0)
            text = mask(said.read(), [secret for secret in secrets if secret])
            raise PartFailed(
                "The load could not be played.",
                where=", ".join(endpoint.url for endpoint in endpoints),
                state=f"locust ended with {code}",
                log=text.splitlines(),
                hint="workshop status; then run this cell again",
            )


def _point(users: int, took: list[float], failed: list[str], seconds: float) -> Point:
    ordered = sorted(took)
    return Point(
        users,
        len(ordered),
        len(failed),
        round(len(ordered) / seconds, 2) if seconds else 0.0,
        round(percentile(ordered, 50), 4),
        round(percentile(ordered, 95), 4),
        failed[0] if failed else "",
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of these sorted values that so many percent do not exceed; 0 of none.

    Example:
        >>> percentile([1, 2, 3, 4], 50), percentile([1, 2, 3, 4], 95)
        (2, 4)
    """
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
