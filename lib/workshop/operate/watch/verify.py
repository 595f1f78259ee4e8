"""Step 9's checkpoint: every page is read, every metric moved, and a question can be followed."""

from __future__ import annotations

from workshop.core.checks import Checks
from workshop.core.plots import UNITS, readable, rounded
from workshop.operate.watch import metrics, scrape
from workshop.operate.watch.burst import Load
from workshop.operate.watch.logs import Followed
from workshop.operate.watch.metrics import Metric
from workshop.parts import llama_stack, mcp_server, model, mongodb, prometheus
from workshop.targets.base import Target


def verify_monitoring(target: Target, load: Load, followed: Followed) -> Checks:
    """Prove that the metrics moved with the load, and that the logs show one question.

    Raises:
        CheckFailed: A page is not read, a metric did not move, or a part's log says nothing.
        StepMissing: Prometheus does not run any more.
    """
    if load.skipped:
        return Checks.skip("Metrics", load.skipped)
    checks = Checks("Metrics")
    scrape.check_pages(target, checks)
    asked, calls = len(load.asked), sum(one.tool_calls for one in load.asked)
    for name, count in (("questions", asked), ("tool calls", calls)):
        checks.equal(f"Prometheus counted the {name}", count, lambda n=name: int(load.counted[n]))  # type: ignore[misc]
    for metric in metrics.METRICS:
        if not load.of_data and metric.part in (mcp_server.PART, mongodb.PART):
            # They may run all the same; nobody asked them.
            continue
        if metric.key in load.values:
            _moved(checks, metric, load.values[metric.key])
        elif not load.reasons.get(metric.key):
            checks.equal(metric.title, "a value", lambda: "none")
    checks.equal("no part is down", "no alert PartDown", lambda: _down(target))
    _check_followed(target, checks, followed)
    return checks.raise_if_failed()


def _down(target: Target) -> str:
    found = prometheus.alerts(target.find(prometheus.PART))
    down = [part for name, part, state in found if (name, state) == ("PartDown", "firing")]
    return ", ".join(f"PartDown {part} (firing)" for part in down) or "no alert PartDown"


def _moved(checks: Checks, metric: Metric, values: tuple[float, float, float]) -> None:
    before, during, _after = values
    factor, unit = readable(values, metric.unit)
    expected, holds = {
        "rises": (f"more than {rounded(factor * before)}", during > before),
        "measured": ("more than 0", during > 0),
        "stays": ("a value", True),
        "zero": ("0", during == 0),
    }[metric.load]
    seen = f"{rounded(factor * before)}, then {rounded(factor * during)}"
    checks.that(
        metric.title,
        expected,
        lambda: seen + UNITS.get(unit, f" {unit}"),
        lambda _seen: holds,
        hint=f"look at its plot; workshop logs {metric.part}",
    )


def _check_followed(target: Target, checks: Checks, followed: Followed) -> None:
    used = [call.name for call in followed.answer.tool_calls] if followed.answer else []
    marked = {one.part for one in followed.lines if one.mark}
    wanted = [llama_stack.PART]
    wanted += [mcp_server.PART] if any(name != "file_search" for name in used) else []
    checks.that(
        f"the question {followed.mark} stands in the logs",
        ", ".join(wanted),
        lambda: ", ".join(sorted(marked)),
        lambda seen: set(wanted) <= set(seen.split(", ")),
        hint="workshop logs " + wanted[-1],
    )
    checks.that(
        "the model's log tells of it",
        "lines from that time",
        lambda: sum(one.part == model.PART for one in followed.lines),
        show=lambda seen: f"{seen} lines",
    )
    secrets = [secret.reveal() for secret in target.store.secrets()]
    checks.that(
        "no credential stands in these lines",
        "none",
        lambda: sum(any(secret in one.text for secret in secrets) for one in followed.lines),
        lambda seen: seen == 0,
        show=lambda seen: f"{seen or 'none'}",
    )
