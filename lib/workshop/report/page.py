"""The page that people open: one file that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workshop.report.report import Folder, Report, StepReport

if TYPE_CHECKING:
    from jinja2 import Template

NAME = "index.html"

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Bar:
    """One step on the timeline; ``left`` and ``width`` in percent of the run."""

    step: StepReport
    left: float
    width: float


def write(folder: Folder, report: Report, pages: Collection[str] = ()) -> Path:
    """Write the page of a run.

    Args:
        folder: Of the run.
        report: What to show.
        pages: The notebooks' pages that exist, to be linked.
    """
    return folder.write(NAME, render(report, pages))


def render(report: Report, pages: Collection[str] = ()) -> str:
    """The page as HTML."""
    content = report.as_dict()
    return template("index.html.j2").render(
        report=report,
        started=datetime.fromisoformat(report.started),
        bars=timeline(report.steps),
        ticks=_ticks(sum(step.seconds for step in report.steps)),
        pages=pages,
        counted=_counted(report),
        content=content,
        arguments=lambda call: json.dumps(call["arguments"], ensure_ascii=False),
    )


def template(name: str) -> Template:
    """A template that escapes whatever is put into it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    return environment.get_template(name)


def timeline(steps: Sequence[StepReport]) -> list[Bar]:
    """Where each step begins and how long it took; steps run one after the other."""
    total = sum(step.seconds for step in steps) or 1.0
    bars, at = [], 0.0
    for step in steps:
        bars.append(Bar(step, round(100 * at / total, 3), round(100 * step.seconds / total, 3)))
        at += step.seconds
    return bars


def duration(seconds: float) -> str:
    """Seconds as people say them: 4.2 s, 3 min 05 s."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _ticks(total: float) -> list[tuple[float, str]]:
    """Round times for the axis, with their places in percent."""
    if total <= 0:
        return []
    unit = next(
        (u for u in (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800) if total / u <= 6), 3600
    )
    count = int(total / unit)
    return [
        (round(100 * n * unit / total, 3), _tick(n * unit, in_minutes=count * unit >= 60))
        for n in range(count + 1)
    ]


def _tick(seconds: float, *, in_minutes: bool) -> str:
    if in_minutes:
        return f"{seconds // 60:.0f}:{seconds % 60:02.0f}"
    return f"{seconds:g} s"


def _counted(report: Report) -> dict[str, Any]:
    statuses = [step.status for step in report.steps]
    checks = [check["ok"] for step in report.steps for check in step.checks]
    return {
        "statuses": [
            (status, statuses.count(status))
            for status in ("passed", "skipped", "failed", "not run")
            if status in statuses
        ],
        "checks": len(checks),
        "passed checks": sum(map(bool, checks)),
        "answers": len(report.answers),
        "grounded": sum(bool(answer["grounded"]) for answer in report.answers),
    }
