"""A burst of questions, what every metric did before, during and after it, and the proof."""

from __future__ import annotations

import functools
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from workshop.agent import questions
from workshop.agent.agent import Agent
from workshop.agent.answer import NotAsked
from workshop.core.checks import Checks
from workshop.core.errors import AnswerNotGrounded, SettingsError
from workshop.core.plots import UNITS, Panel, Points, bundle, draw, readable, rounded
from workshop.core.progress import Stages, stages
from workshop.core.table import Table
from workshop.core.wait import NotYet, wait_for
from workshop.operate import metrics
from workshop.operate.logs import Followed
from workshop.operate.metrics import Metric
from workshop.parts import gpu_nodes, llama_stack, mcp_server, model, mongodb, prometheus
from workshop.targets.base import Endpoint, Target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 4  # Questions at once: a burst that shows on every plot, and no load test.

WINDOW = 5.0 * metrics.INTERVAL
"""Seconds that a rate is taken over: with fewer readings, one that is late leaves a gap."""

BEFORE, AFTER = WINDOW + 2 * metrics.INTERVAL, WINDOW + metrics.INTERVAL
"""Seconds of calm around the burst: a rate then shows nothing of what was before that."""

COUNTERS = {
    "questions": f"llama_stack_requests_total{{{metrics.ASKED}}} "
    f"or ogx_requests_total{{{metrics.ASKED}}}",
    "tool calls": mcp_server.COUNTED,
}


@dataclass(frozen=True)
class Asked:
    """One question of the burst. ``tool_calls`` are those that went to the MCP server."""

    question: str
    seconds: float
    tool_calls: int
    grounded: bool


@dataclass(frozen=True)
class Reading:
    """What one metric was. ``during`` is the highest value; ``read_from`` is whose it is."""

    metric: str
    before: str
    during: str
    after: str
    unit: str
    read_from: str


@dataclass(frozen=True)
class Load:
    """A burst of questions, and the metrics around it."""

    asked: Table[Asked] = field(default_factory=Table)
    seconds: float = 0.0  # From the first question to the last answer.
    readings: Table[Reading] = field(default_factory=Table)
    # By metric: before, the highest during, and after; 0 where the server had nothing to count.
    values: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)  # Why a metric has no value here.
    counted: dict[str, float] = field(default_factory=dict)  # What Prometheus has seen.
    of_data: bool = True  # Whether the questions were about the data in MongoDB.
    plot: Figure | None = None  # All of it over time, in seconds from the first question.
    skipped: str = ""  # Why there was nothing to measure with; then all else is empty.

    @property
    def example(self) -> str:
        """One of the questions, to be asked again."""
        return self.asked[-1].question if self.asked else ""

    def __repr__(self) -> str:
        if self.skipped:
            return f"Nothing was measured: {self.skipped}"
        return f"{len(self.asked)} questions in {self.seconds:.1f} s"

    def _repr_mimebundle_(self, **_options: object) -> tuple[dict[str, object], dict[str, object]]:
        shown, about = bundle(self.plot) if self.plot else ({}, {})
        return {**shown, "text/plain": repr(self)}, about


def measure_burst(target: Target, agent: Agent, *, count: int = 2, timeout: float = 300.0) -> Load:
    """Ask some questions at once, and read every metric before, during and after them.

    ``count`` are how many questions, at most 4; ``timeout`` the seconds for one answer. Raises as
    ``Agent.ask``, ``SettingsError`` for more questions, ``StepMissing`` where Prometheus does not
    run, and ``PartTooSlow`` where the burst did not show in the metrics.
    """
    if not 1 <= count <= MOST:
        raise SettingsError(
            f"QUESTIONS = {count} cannot be asked.",
            where="the parameters of 09_watch_the_system",
            hint=f"1 to {MOST}; 10_scale_out asks more",
        )
    reason = target.skip_reason(prometheus.PART)
    if reason is not None:
        return Load(skipped=reason)
    known = questions.DATABASE_QUESTIONS if agent.has_database else questions.RUNBOOK_QUESTIONS
    # With short answers; over and over where there are few.
    short = [one.text for one in known if not one.text.startswith("Show me")]
    endpoint = target.find(prometheus.PART)
    with stages("Burst") as stage:
        ahead = prometheus.clock_offset(endpoint)
        first = time.time() + ahead
        stage(f"reading the metrics for {BEFORE:g} s before the questions")
        time.sleep(BEFORE)
        before = _counters(endpoint)
        stage(f"asking {count} questions at once")
        start = time.time() + ahead
        asked = _ask(agent, [short[one % len(short)] for one in range(count)], timeout, stage)
        end = time.time() + ahead
        stage(f"answered after {end - start:.1f} s")
        counted = _seen(endpoint, before, asked, stage)
        stage(f"reading the metrics for {AFTER:g} s after the questions")
        time.sleep(AFTER)
        last = time.time() + ahead
        series = {one.key: _series(endpoint, one, first, last) for one in metrics.METRICS}
        load = Load(Table(asked), end - start, counted=counted, of_data=agent.has_database)
        return _read(target, load, series, start, end)


def _ask(agent: Agent, chosen: Sequence[str], timeout: float, stage: Stages) -> list[Asked]:
    def one(question: str) -> Asked:
        began = time.monotonic()
        try:
            answer = agent.ask(question, quiet=True, timeout=timeout)
        except AnswerNotGrounded:
            # It was asked and answered all the same, and that is what is counted here.
            answer = next(a for a in reversed(agent.answers) if a.question == question)
        if isinstance(answer, NotAsked):
            return Asked(question, 0.0, 0, False)
        calls = sum(call.made for call in answer.tool_calls if call.name in mcp_server.ALLOWED)
        return Asked(question, round(time.monotonic() - began, 1), calls, answer.grounded)

    with ThreadPoolExecutor(len(chosen), thread_name_prefix="burst") as pool:
        futures = [pool.submit(one, question) for question in chosen]
        for done, _ in enumerate(as_completed(futures), 1):
            stage(f"{done} of {len(futures)} answers are there")
        return [future.result() for future in futures]


def _expected(asked: Sequence[Asked]) -> dict[str, int]:
    """What Prometheus is to count, as in ``COUNTERS``."""
    return {"questions": len(asked), "tool calls": sum(one.tool_calls for one in asked)}


def _counters(endpoint: Endpoint) -> dict[str, dict[str, float]]:
    """Of each counter, the value of each of its series, by labels."""
    return {
        name: {one.labels: one.value for one in prometheus.samples(endpoint, query)}
        for name, query in COUNTERS.items()
    }


def _seen(
    endpoint: Endpoint, before: dict[str, dict[str, float]], asked: Sequence[Asked], stage: Stages
) -> dict[str, float]:
    """Wait until Prometheus has read of the last question; gives what it counted."""
    wanted = _expected(asked)

    def seen() -> dict[str, float] | NotYet:
        read = _counters(endpoint)
        now = {name: prometheus.grown(before[name], found) for name, found in read.items()}
        if all(now[name] >= count for name, count in wanted.items()):
            return now
        told = [f"{now[name]:g} of {count} {name}" for name, count in wanted.items()]
        return NotYet("it has seen " + ", ".join(told))

    what = "the questions to show in the metrics"
    hint = "workshop logs prometheus; workshop logs collector"
    return wait_for(what, seen, timeout=60, stage=stage, every=0.5, where=endpoint.url, hint=hint)


def _series(endpoint: Endpoint, metric: Metric, start: float, end: float) -> tuple[str, Points]:
    """The first server that has this metric, and its values by seconds since the epoch."""
    for server, query in metric.queries.items():
        query = query.replace(metrics.WINDOW, f"{WINDOW:g}s")
        values = prometheus.series(endpoint, query, start=start, end=end, step=metrics.INTERVAL)
        if values:
            return server, values
    return "", []


def _read(
    target: Target, load: Load, series: dict[str, tuple[str, Points]], start: float, end: float
) -> Load:
    """The load, with what was read of each metric."""
    panels, servers = [], {server for server, _values in series.values()}
    for metric in metrics.METRICS:
        server, points = series[metric.key]
        if not server:
            reason = load.reasons[metric.key] = _why_not(target, metric, servers)
            shown = reason or "no value was read"
            load.readings.append(Reading(metric.title, "", "", "", metric.unit, shown))
            continue
        calm = [value for when, value in points if when <= start]
        busy = [value for when, value in points if start < when <= end + WINDOW]
        later = [value for when, value in points if when > end + WINDOW]
        values = (calm[-1] if calm else 0.0, max(busy, default=0.0), later[-1] if later else 0.0)
        load.values[metric.key] = values
        factor, unit = readable(values, metric.unit)
        before, during, after = (rounded(factor * value) for value in values)
        load.readings.append(Reading(metric.title, before, during, after, unit, server))
        line = [(round(when - start, 1), value) for when, value in points]
        panels.append(Panel(metric.title, metric.unit, {metric.title: line}))
    title, x = "The key metrics around a burst of questions", "seconds; shaded: questions are asked"
    return replace(load, plot=draw(title, x, panels, shaded=(0.0, end - start)))


def _why_not(target: Target, metric: Metric, servers: Collection[str]) -> str:
    """Why a metric may be missing here, or "" when it must not be."""
    if metric.part == gpu_nodes.PART:
        offered = target.machines.accelerators()
        return "no page of DCGM is read" if offered else "no node here offers a GPU"
    for server, reason in metric.lacks.items():
        if server in servers:
            return f"{server}: {reason}"
    reasons = {page.part: reason for page, _endpoint, reason in metrics.watched(target)}
    return reasons.get(metric.part, f"{metric.part} was not deployed")


def verify_monitoring(target: Target, load: Load, followed: Followed) -> Checks:
    """Prove that the metrics moved with the load, and that the logs show one question.

    Raises ``CheckFailed``, or ``StepMissing`` where Prometheus does not run any more.
    """
    if load.skipped:
        return Checks.skip("Metrics", load.skipped)
    checks = Checks("Metrics")
    metrics.check_pages(target, checks)
    for name, count in _expected(load.asked).items():
        counted = functools.partial(int, load.counted[name])
        checks.equal(f"Prometheus counted the {name}", count, counted)
    for metric in metrics.METRICS:
        if not load.of_data and metric.part in (mcp_server.PART, mongodb.PART):
            # They may run all the same; nobody asked them.
            continue
        if metric.key in load.values:
            _check_moved(checks, metric, load.values[metric.key])
        elif not load.reasons.get(metric.key):
            checks.equal(metric.title, "a value", lambda: "none")
    checks.equal("no part is down", "no alert PartDown", lambda: _down(target))
    _check_followed(target, checks, followed)
    return checks.raise_if_failed()


def _down(target: Target) -> str:
    found = prometheus.alerts(target.find(prometheus.PART))
    down = [part for name, part, state in found if (name, state) == ("PartDown", "firing")]
    return ", ".join(f"PartDown {part} (firing)" for part in down) or "no alert PartDown"


def _check_moved(checks: Checks, metric: Metric, values: tuple[float, float, float]) -> None:
    factor, unit = readable(values, metric.unit)
    before, during, _after = values
    was, rose = rounded(factor * before), rounded(factor * during)
    expected, holds = {
        "rises": (f"more than {was}", during > before),
        "measured": ("more than 0", during > 0),
        "stays": ("a value", True),
        "zero": ("0", during == 0),
    }[metric.load]
    seen, hint = UNITS.get(unit, f" {unit}"), f"look at its plot; workshop logs {metric.part}"
    checks.that(
        metric.title, expected, lambda: f"{was}, then {rose}{seen}", lambda _: holds, hint=hint
    )


def _check_followed(target: Target, checks: Checks, followed: Followed) -> None:
    used = [call.name for call in followed.answer.tool_calls] if followed.answer else []
    marked = {one.part for one in followed.lines if one.mark}
    wanted = [llama_stack.PART]
    wanted += [mcp_server.PART] if any(name != "file_search" for name in used) else []
    checks.that(
        f"the question {followed.mark} is in the logs",
        ", ".join(wanted),
        lambda: ", ".join(sorted(marked)),
        lambda _seen: set(wanted) <= marked,
        hint="workshop logs " + wanted[-1],
    )
    lines = sum(one.part == model.PART for one in followed.lines)
    told, expected = "the model's log shows it", "lines from that time"
    checks.that(told, expected, lambda: lines, show=lambda seen: f"{seen} lines")
    secrets = [secret.reveal() for secret in target.store.secrets()]
    shown = sum(any(secret in one.text for secret in secrets) for one in followed.lines)
    name = "no credential is in these lines"
    checks.equal(name, "none", lambda: str(shown or "none"))
