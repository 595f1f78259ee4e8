"""What users see, measured: how many are answered, how soon, and where the time goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workshop.core import versions
from workshop.core.plots import Panel, Points, draw
from workshop.core.progress import stages
from workshop.core.table import Table
from workshop.operate.scale import load
from workshop.operate.scale.load import Request, Series
from workshop.parts import llama_stack, mcp_server, model, mongodb
from workshop.targets.base import Target, runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHAT, MODEL, HISTORY = "chat by Llama Stack", "chat at the model", "history by Llama Stack"
TOOL, COUNT = "count by the MCP server", "count at MongoDB"

BEHIND = {CHAT: (llama_stack.PART, MODEL, model.PART), TOOL: (mcp_server.PART, COUNT, mongodb.PART)}
"""What is asked through a part, and the same asked of the part behind it."""

TOKENS = 8
"""Of each answer: enough to see what a request costs."""

COUNTED = "incidents"


@dataclass(frozen=True)
class Bottleneck:
    """Where the time of a request goes, with the most users.

    Args:
        request: What was asked.
        users: By how many at the same time.
        seconds: Half of the requests took no longer.
        behind: The same, asked of the part behind it directly.
        share: How much of the time is that part's, 0 to 1.
        bottleneck: The part that takes most of it.
    """

    request: str
    users: int
    seconds: float
    behind: float
    share: float
    bottleneck: str


@dataclass(frozen=True)
class Load:
    """What users saw of each kind of request."""

    series: dict[str, Series] = field(default_factory=dict)

    @property
    def rows(self) -> Table[Row]:
        """A row per request and number of users."""
        return Table(
            Row(one.name, one.replicas, p.users, p.requests, p.failures, p.per_second, p.p50, p.p95)
            for one in self.series.values()
            for p in one.points
        )

    def __repr__(self) -> str:
        return repr(self.rows)

    def _repr_html_(self) -> str:
        return self.rows._repr_html_()


@dataclass(frozen=True)
class Row:
    """One line of a load's table; seconds, and answered requests per second."""

    request: str
    replicas: int
    users: int
    answered: int
    failed: int
    per_second: float
    half_within: float
    most_within: float


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

    Raises:
        StepMissing: A part does not run.
        PartFailed: The load could not be generated.
    """
    users = load.steps(most_users)
    with stages("Load") as stage:
        requests = [one for one in _requests(target) if not _is_as(since, one)]
        if not requests:
            stage("every part has the replicas that it had: there is nothing new to measure")
            return Load()
        measured = load.measure(
            requests, users=users, seconds=seconds, at_most=at_most, stage=stage
        )
        return Load({series.name: series for series in measured})


def _is_as(since: Load | None, request: Request) -> bool:
    """Whether as many replicas answer as then."""
    then = since and since.series.get(request.name)
    return bool(then and then.replicas == request.replicas)


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
    if not runs(target, mcp_server.PART):
        return requests
    tool = {
        "name": "count",
        "arguments": {
            "connectionId": versions.CONNECTION_ID,
            "database": mongodb.DATABASE,
            "collection": COUNTED,
        },
    }
    servers, database = target.scaling.replicas(mcp_server.PART), mongodb.find(target)
    return [
        *requests,
        Request(TOOL, "tool", mcp_server.PATH, tool, servers, len(servers)),
        Request(COUNT, "count", COUNTED, None, [database], 1),
    ]


def find_bottleneck(found: Load) -> Table[Bottleneck]:
    """Show where the time goes: each request against the same one at the part behind."""
    told: Table[Bottleneck] = Table()
    for name, (part, behind, behind_part) in BEHIND.items():
        if name not in found.series or not found.series[behind].busiest.p50:
            continue
        whole, rest = found.series[name].busiest, found.series[behind].busiest
        share = min(1.0, rest.p50 / whole.p50) if whole.p50 else 0.0
        told.append(
            Bottleneck(
                name,
                whole.users,
                whole.p50,
                rest.p50,
                round(share, 2),
                behind_part if share >= 0.5 else part,
            )
        )
    return told


def plot_load(before: Load, after: Load | None = None) -> Figure:
    """Throughput and latency against users, of each kind of request, before and after.

    Args:
        before: With the replicas of before.
        after: With more of them.
    """
    panels = []
    for name in before.series:
        measured = [one.series[name] for one in (before, after) if one and name in one.series]
        rate: dict[str, Points] = {}
        latency: dict[str, Points] = {}
        for when, series in zip(("before", "after"), measured, strict=False):
            said = f"{when}, " if len(measured) > 1 else ""
            count = f"{series.replicas} replica{'s' if series.replicas > 1 else ''}"
            rate[f"{said}{count}"] = [(p.users, p.per_second) for p in series.points]
            latency[f"{said}half"] = [(p.users, p.p50) for p in series.points]
            latency[f"{said}95 %"] = [(p.users, p.p95) for p in series.points]
        panels.append(Panel(f"Throughput: {name}", "1/s", rate))
        panels.append(Panel(f"Answered within: {name}", "s", latency))
    return draw("Throughput and latency against users at the same time", "users", panels)
