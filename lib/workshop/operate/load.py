"""What users see, measured: how many are answered, how soon, and where the time goes.

Locust makes the load, in a process of its own (``locustfile``), because it replaces Python's
sockets by its own. Users are stepped: each step has more of them, each user asks again as soon as
it is answered, and a step ends when its time or its count is over.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workshop.core.errors import PartFailed, SettingsError
from workshop.core.plots import Panel, Points, draw
from workshop.core.progress import Stages, stages
from workshop.core.secret import Secret, mask
from workshop.core.table import Table, counted
from workshop.parts import llama_stack, mcp_server, model, mongodb
from workshop.targets.base import Endpoint, Target, runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PATIENCE = 60.0  # Seconds that a request under way at the end of a step may still take.
START = 30.0  # Seconds that locust may take until its first user asks.
MOST_USERS = 64  # Users that are simulated at most: this shows a trend, and is no attack.
TOKENS = 8  # Of each answer: enough to see what a request costs.
COUNTED = "incidents"

CHAT, MODEL, HISTORY = "chat by Llama Stack", "chat at the model", "history by Llama Stack"
TOOL, COUNT = "count by the MCP server", "count at MongoDB"

BEHIND = {CHAT: (llama_stack.PART, MODEL, model.PART), TOOL: (mcp_server.PART, COUNT, mongodb.PART)}
"""What is asked through a part, and the same asked of the part behind it."""


@dataclass(frozen=True)
class Request:
    """What users ask again and again, and who answers.

    ``http`` is GET, or POST with ``body``; ``tool`` an MCP tool, ``body`` its name and arguments,
    in one session per user; ``count`` a collection of MongoDB, ``path`` its name, that is counted.
    """

    name: str  # For tables and plots.
    kind: Literal["http", "tool", "count"]
    path: str
    body: Mapping[str, Any] | None
    endpoints: Sequence[Endpoint]  # Of the replicas: user n asks number n, round and round.
    replicas: int  # How many answer; more than there are endpoints behind a Service.


@dataclass(frozen=True)
class Point:
    """What a number of users saw of one request, by all of them together.

    Half of the answers came within ``half_within`` seconds, 95 of 100 within ``most_within``: to
    two digits, and above 10 ms to the millisecond. ``failure`` is what the first failure said.
    """

    request: str
    replicas: int
    users: int
    answered: int
    failed: int
    per_second: float
    half_within: float
    most_within: float
    failure: str = ""

    @property
    def who(self) -> str:
        """The users, in words."""
        return counted(self.users, "user")


@dataclass(frozen=True)
class Load:
    """What users saw: of each request a row per number of users, the most users last."""

    series: dict[str, Table[Point]] = field(default_factory=dict)

    @property
    def rows(self) -> Table[Point]:
        """All of them in one table."""
        return Table(point for points in self.series.values() for point in points)

    def __repr__(self) -> str:
        return repr(self.rows)

    def _repr_html_(self) -> str:
        return self.rows._repr_html_()


@dataclass(frozen=True)
class Bottleneck:
    """Where the time of a request goes, with the most users."""

    request: str
    users: int
    seconds: float  # Half of the requests took no longer.
    behind: float  # The same, asked of the part behind it directly.
    share: float  # How much of the time is that part's, 0 to 1.
    bottleneck: str  # The part that takes most of it.


def measure_load(
    target: Target,
    *,
    most_users: int = 4,
    seconds: float = 3.0,
    at_most: int = 300,
    since: Load | None = None,
) -> Load:
    """Ask with 1, 2, 4, ... users at the same time; measure throughput and latency.

    Args:
        target: Where.
        most_users: The last number of users.
        seconds: How long each number of users asks each kind of request.
        at_most: Requests after which that ends sooner.
        since: Ask only parts that have other replicas than they had then.

    Raises ``SettingsError`` for more users than are simulated, ``StepMissing`` where a part does
    not run, and ``PartFailed`` where the load could not be generated.
    """
    users, then = steps(most_users), since.series if since else {}
    with stages("Load") as stage:
        requests = [
            one
            for one in _requests(target)
            if one.name not in then or then[one.name][-1].replicas != one.replicas
        ]
        if not requests:
            stage("every part has the replicas that it had: there is nothing new to measure")
            return Load()
        return measure(requests, users=users, seconds=seconds, at_most=at_most, stage=stage)


def steps(most: int) -> list[int]:
    """Numbers of users, each twice the one before, up to ``most``.

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


def _requests(target: Target) -> list[Request]:
    """What is asked, and of whom.

    A Service keeps one client address with one pod of the MCP server, and here all users have one:
    they are spread over its pods by hand, as clients of several addresses would be.
    """
    stack, served = target.find(llama_stack.PART), target.find(model.PART)
    chat = "/v1/chat/completions"
    body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": TOKENS}
    through = {"model": llama_stack.model_id(target), **body}
    direct = {"model": model.model_name(target), **body}
    replicas = len(target.scaling.replicas(llama_stack.PART))
    served_by = len(target.scaling.replicas(model.PART))
    requests = [
        Request(HISTORY, "http", f"{chat}?limit=1", None, [stack], replicas),
        Request(CHAT, "http", chat, through, [stack], replicas),
        Request(MODEL, "http", chat, direct, [served], served_by),
    ]
    if runs(target, mcp_server.PART):
        tool = {"name": "count", "arguments": mcp_server.ALWAYS | {"collection": COUNTED}}
        servers = target.scaling.replicas(mcp_server.PART)
        requests += [
            Request(TOOL, "tool", mcp_server.PATH, tool, servers, len(servers)),
            Request(COUNT, "count", COUNTED, None, [mongodb.find(target)], 1),
        ]
    return requests


def measure(
    requests: Sequence[Request],
    *,
    users: Sequence[int],
    seconds: float,
    at_most: int,
    stage: Stages,
) -> Load:
    """Ask with each of these numbers of users in turn, for ``seconds`` or ``at_most`` requests.

    With each number of users all requests come one after the other, so that what else the machine
    does affects all of them alike.
    """
    load = Load({one.name: Table() for one in requests})
    plan = {
        "requests": list(requests),
        "users": list(users),
        "seconds": seconds,
        "at_most": at_most,
        "limit": START + len(requests) * len(users) * (seconds + PATIENCE),
    }
    endpoints = [endpoint for one in requests for endpoint in one.endpoints]
    secrets = [secret for one in endpoints for secret in (one.token, one.password) if secret]
    command = [sys.executable, "-m", "workshop.operate.locustfile"]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        try:
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
            # The credentials go this way too: ps shows arguments, and files stay.
            json.dump(plan, process.stdin, default=_plain)
            process.stdin.close()
            for line in process.stdout:
                point = Point(**json.loads(mask(line, secrets)))
                load.series[point.request].append(point)
                stage(_told(point))
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
    return load


def _plain(value: object) -> object:
    """What JSON cannot write, as something that it can; a credential in clear."""
    if isinstance(value, Secret):
        return value.reveal()
    return str(value) if isinstance(value, Path) else vars(value)


def _told(point: Point) -> str:
    failed = f"; {point.failed} failed: {point.failure}" if point.failed else ""
    rate, half = f"{point.per_second:g} per second", f"half within {point.half_within:g} s"
    return f"{point.request}, {point.who}: {rate}, {half}{failed}"


def find_bottleneck(found: Load) -> Table[Bottleneck]:
    """Show where the time goes: each request beside the same one at the part behind it."""
    told: Table[Bottleneck] = Table()
    for name, (part, behind, behind_part) in BEHIND.items():
        if name not in found.series or not found.series[behind][-1].half_within:
            continue
        point = found.series[name][-1]
        whole, rest = point.half_within, found.series[behind][-1].half_within
        share = min(1.0, rest / whole) if whole else 0.0
        most = behind_part if share >= 0.5 else part
        told.append(Bottleneck(name, point.users, whole, rest, round(share, 2), most))
    return told


def plot_load(before: Load, after: Load | None = None) -> Figure:
    """Throughput and latency against users, of each kind of request, before and after."""
    panels = []
    for name in before.series:
        measured = [one.series[name] for one in (before, after) if one and name in one.series]
        rate: dict[str, Points] = {}
        latency: dict[str, Points] = {}
        for when, points in zip(("before", "after"), measured, strict=False):
            said = f"{when}, " if len(measured) > 1 else ""
            count = counted(points[-1].replicas, "replica")
            rate[f"{said}{count}"] = [(one.users, one.per_second) for one in points]
            latency[f"{said}half"] = [(one.users, one.half_within) for one in points]
            latency[f"{said}95 %"] = [(one.users, one.most_within) for one in points]
        panels.append(Panel(f"Throughput: {name}", "1/s", rate))
        panels.append(Panel(f"Answered within: {name}", "s", latency))
    return draw("Throughput and latency against users at the same time", "users", panels)
