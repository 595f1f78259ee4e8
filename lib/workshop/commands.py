"""What each command of ``workshop`` does."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

from workshop.connecting import connect
from workshop.core import progress
from workshop.core.checks import as_lines
from workshop.core.errors import INTERRUPTED, WorkshopError
from workshop.core.files import hold
from workshop.core.secret import Secret
from workshop.core.settings import Settings
from workshop.core.table import as_text, counted, write
from workshop.parts.catalog import ALL, start_early
from workshop.report import ASKING
from workshop.run import run as run_steps
from workshop.run.steps import Step, assign, find, select
from workshop.targets.base import PartStatus, Statuses, Target

if TYPE_CHECKING:
    from workshop.operate.doctor import Finding


LOG_LINES = 8  # How much of a log the doctor shows of each part.


def run(options: argparse.Namespace) -> int:
    """Execute notebooks."""
    settings = Settings.from_env()
    target = connect(options.target)
    folder = Path(options.notebooks).absolute() if options.notebooks else settings.notebooks

    def known() -> list[Secret]:
        return target.store.secrets() + settings.secrets

    steps = select(
        find(folder),
        first=options.first,
        last=options.last,
        only=options.only,
        without=options.without,
        clean_up=options.clean_up,
    )
    steps = assign(
        steps, options.parameters, target=target.name, without=options.without, secrets=known()
    )
    with hold(settings.lock, "workshop run"):
        report, interrupted = run_steps(
            steps,
            target=target.name,
            runs=settings.state / "runs",
            known_secrets=known,
            services=lambda: [part for part in target.status() if part.state in UP],
            before=_starts_early(target, steps),
        )
    if interrupted:
        return INTERRUPTED
    return 0 if report.status == "passed" else 1


def _starts_early(target: Target, steps: Sequence[Step]) -> Callable[[Step], None]:
    """Starts what later notebooks deploy, before the first one that deploys software."""
    executed = [step for step in steps if not step.skip]
    first = next((step for step in executed if "02" <= step.number <= "04"), None)

    def start() -> None:
        progress.use(progress.Silent())
        with contextlib.suppress(WorkshopError):
            start_early(target, {step.number: step.parameters for step in executed})

    def before(step: Step) -> None:
        if step is first:
            threading.Thread(target=start, name="prestart", daemon=True).start()

    return before


UP = ("running", "yours")  # States of a part that works, as `workshop status` shows them.


def status(options: argparse.Namespace) -> int:
    """Show what runs."""
    rows = connect(options.target).status()
    write(repr(rows) if rows else "Nothing was started here yet.  Hint: workshop run")
    return 0


def logs(options: argparse.Namespace) -> int:
    """Show one part's log."""
    target = connect(options.target)
    for line in target.logs(options.name, lines=options.lines, follow=options.follow):
        write(line)
    return 0


def stop(options: argparse.Namespace) -> int:
    """Stop one part, or all."""
    target = connect(options.target)
    with hold(Settings.from_env().lock, "workshop stop"):
        stopped = target.stop(options.name)
    write(*([f"stopped {name}" for name in stopped] or ["nothing was running"]))
    return 0


NOTHING = "  nothing was started here yet"


def doctor(options: argparse.Namespace) -> int:
    """Check this place, ask every part, and name the one that is the reason."""
    from workshop.operate.doctor import causes, examine

    target = connect(options.target)
    checks = target.environment()
    write(f"environment of the {target.name} target", *(f"  {one}" for one in as_lines(checks)))
    findings = examine(target)
    # A place that cannot be asked has been named by now.
    blocked = any(one.part in ("cluster", "permissions") for one in findings if not one.ok)
    try:
        rows = target.status()
    except WorkshopError:
        if not blocked:
            raise
        rows = Statuses()
    shown = as_text([astuple(row) for row in rows]).splitlines()
    write("", "parts", *([f"  {row}" for row in shown] or [NOTHING]))
    ended = [row for row in rows if row.state not in UP]
    for part in ended:
        write("", *_trouble(target, part))
    if rows and not causes(findings) and not ended:
        answered = last_finding(Settings.from_env().state / "runs", target.name)
        findings += [answered] if answered else []
    asked = [_asked(finding) for finding in findings]
    if asked:
        write("", "what they answer", *asked)
    blamed = [f"cause: {one.part}: {one.seen}\n  Hint: {one.hint}" for one in causes(findings)]
    # An ended part was counted when it was asked, if it could be asked.
    silent = [part for part in ended if part.name not in {one.part for one in findings}]
    # What the place is blamed for was among the checks of the environment, in these words.
    told, words = {one.part for one in causes(findings)}, {"API server": "cluster"}
    lacks = [one for one in checks if not one.ok and words.get(one.name, one.name) not in told]
    problems = len(lacks) + len(blamed) + len(silent)
    found = f"{counted(problems, 'problem')} found"
    write("", *blamed, found if problems else "no problem found")
    return 1 if problems else 0


def _asked(finding: Finding) -> str:
    if finding.ok:
        return f"  [ OK ] {finding.part}" + (f": {finding.seen}" if finding.seen else "")
    if finding.because:
        return f"  [FAIL] {finding.part}: because of {', '.join(finding.because)}"
    return f"  [FAIL] {finding.part}: {finding.seen[:300]}"


def _trouble(target: Target, part: PartStatus) -> Sequence[str]:
    lines = [f"{part.name} is {part.state}: {part.detail}"]
    try:
        log = list(target.logs(part.name, lines=LOG_LINES))
    except WorkshopError as error:
        log = str(error).splitlines()
    lines += [f"    {line}" for line in log]
    number = ALL.notebook(part.name)[:2]
    lines.append(f"  Hint: workshop run --only {number} starts it again; workshop logs {part.name}")
    return lines


HINTS = (
    (
        r"no tool was called",
        "the model answers without looking anything up: take one that calls tools more reliably "
        "(MODEL, or MODEL_URL), and check that its server has the parser of its family; workshop "
        "evaluate measures it",
    ),
    (
        r"called a tool and then said nothing|still calling tools after",
        "it called tools again and again, and had no round left to answer; take another "
        "model, or fewer tools in 06_register_mcp_server",
    ),
    (
        r"not among its tools",
        "the model invents tools: take one that calls tools more reliably (MODEL, or MODEL_URL)",
    ),
    (
        r"not grounded|the answer lacks|found nothing with",
        "the tools work, and the model asked for something else or did not quote it: read the "
        "arguments in the report's table, ask more plainly, or take a larger model",
    ),
)
"""Words of a step's reason, and what fixes it."""


def last_finding(runs: Path, target: str) -> Finding | None:
    """Why the last run's agent failed on this target, or None: it did not, or there was none."""
    from workshop.operate.doctor import Finding

    path = runs / "latest" / "report.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        steps = report["steps"] if report["target"] == target else []
    except (OSError, ValueError, KeyError, TypeError):
        # A report that cannot be read is no part's trouble.
        return None
    for step in steps:
        if step["status"] == "failed" and step["notebook"].startswith(ASKING):
            reason = " ".join(str(step.get("reason") or "").split())
            known = [fix for pattern, fix in HINTS if re.search(pattern, reason, re.IGNORECASE)]
            again = f"workshop run --only {ASKING}"
            hint = f"{again}; the report has every answer with its tool calls"
            when = f"every part is well, and in the last run ({report.get('started', '')}) "
            seen = f"{when}{step['notebook']} failed: {reason[:300]}"
            return Finding("agent", False, seen, f"{known[0]}; then {again}" if known else hint)
    return None
