"""The pages that people open, of a run and of its notebooks: files that need nothing else."""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from workshop.report import Report, Status, StepReport

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"

UNITS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds that may lie between two marks of the timeline."""

SHOWN = (
    *("text/html", "image/svg+xml", "image/png", "image/jpeg"),
    *("text/markdown", "text/plain"),
)
"""What of an output is shown, the best first. Widgets need a server: their text is shown."""

OUTSIDE = re.compile(r'<a href="\.\./[^"]*">(.*?)</a>', re.DOTALL)
"""A link to the repository, which does not lie beside a page."""

LINK = re.compile(r'<a href="(\d\d_\w+)\.ipynb">(.*?)</a>', re.DOTALL)
"""From notebook to notebook: on a page, from page to page."""

GRAMMAR = "rfc3987_syntax"
"""The schema library loads it to check internationalised addresses, which no notebook's schema
does: its grammar costs 1 to 2 seconds at import. The library works without it (it is an extra)."""


@dataclass(frozen=True)
class Bar:
    """One step on the timeline; ``left`` and ``width`` in percent of the run."""

    step: StepReport
    left: float
    width: float


def render(report: Report, pages: Collection[str] = ()) -> str:
    """The page of a run as HTML; ``pages`` of its notebooks exist, and are linked."""
    counts = Counter(step.status for step in report.steps)
    return template("index.html.j2").render(
        report=report,
        started=datetime.fromisoformat(report.started),
        bars=timeline(report.steps),
        ticks=_ticks(sum(step.seconds for step in report.steps)),
        pages=pages,
        statuses=[(status, counts[status]) for status in get_args(Status) if counts[status]],
        checks=[bool(check["ok"]) for step in report.steps for check in step.checks],
        grounded=[bool(answer["grounded"]) for answer in report.answers],
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
    unit = next((unit for unit in UNITS if total / unit <= 6), UNITS[-1])
    times = [number * unit for number in range(int(total / unit) + 1)]
    in_minutes = times[-1] >= 60
    return [
        (
            round(100 * at / total, 3),
            f"{at // 60:.0f}:{at % 60:02.0f}" if in_minutes else f"{at:g} s",
        )
        for at in times
    ]


def write_notebook(notebook: Path) -> str:
    """Write the page of an executed notebook beside it; gives its name."""
    with warnings.catch_warnings():
        # The tools' own. An output that has nothing to show is no news either.
        warnings.simplefilter("ignore")
        body, _resources = _exporter().from_filename(str(notebook))
        light, dark = _colours("default"), _colours("github-dark")
    body = OUTSIDE.sub(r"\1", LINK.sub(r'<a href="\1.html">\2</a>', body))
    # What scrolls must be reached by keyboard; progress that went left nothing.
    body = re.sub(r"<pre>(?!\s*</pre>)", '<pre tabindex="0">', body)
    html = template("notebook.html.j2").render(
        name=notebook.stem, body=body, light=light, dark=dark
    )
    written = notebook.with_suffix(".html")
    written.write_text(html, encoding="utf-8")
    return written.name


def unlink(folder: Path, pages: Collection[str]) -> None:
    """Make plain text of links between pages that lead to none of these."""
    link = re.compile(r'<a href="(\d\d_\w+\.html)">(.*?)</a>', re.DOTALL)
    for name in pages:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        kept = link.sub(lambda found: found[0 if found[1] in pages else 2], text)
        path.write_text(kept, encoding="utf-8")


@cache
def _exporter() -> Any:
    from nbconvert.exporters import HTMLExporter
    from traitlets.config import Config

    config = Config(NbConvertBase={"display_data_priority": list(SHOWN)})
    return HTMLExporter(config, template_name="basic")  # type: ignore[no-untyped-call]


def _colours(style: str) -> Any:
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]

    return HtmlFormatter(style=style).get_style_defs(".highlight")


@contextmanager
def quick() -> Iterator[None]:
    """Import without that grammar, and without the deprecation warnings of the tools themselves."""
    blocked = GRAMMAR not in sys.modules
    if blocked:
        sys.modules[GRAMMAR] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        if blocked:
            del sys.modules[GRAMMAR]
