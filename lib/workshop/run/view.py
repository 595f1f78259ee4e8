"""What ``workshop run`` shows in the terminal."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from workshop.agent.answer import MIME as ANSWER
from workshop.core.progress import MIME as PROGRESS
from workshop.report.report import Report, StepReport
from workshop.run.parameters import shown
from workshop.run.sequence import Step
from workshop.targets.base import PartStatus

TRACEBACK = 15
"""Lines of a traceback that are shown: its end says what went wrong."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

_COLOURS = {"passed": "32", "skipped": "36", "failed": "31;1", "not run": "2"}


def plain(text: str) -> str:
    """The text without colours and control characters."""
    return _CONTROL.sub("", _ESCAPES.sub("", text))


class View:
    """Writes a run's progress, line by line.

    Args:
        stream: The terminal, or the file that stands for it.
        masked: Takes credentials out of a text.
        env: Where ``NO_COLOR`` is looked up.
    """

    def __init__(
        self,
        stream: TextIO,
        masked: Callable[[str], str] = str,
        env: Mapping[str, str] = os.environ,
    ) -> None:
        self._stream = stream
        self._masked = masked
        self._terminal = stream.isatty()
        self._coloured = self._terminal and not env.get("NO_COLOR")
        self._subject = ""
        self._redrawable = False

    def begin(self, target: str, steps: Sequence[Step], folder: Path) -> None:
        """Say what will run, and where its report will be."""
        count = f"{len(steps)} step" + ("s" if len(steps) != 1 else "")
        self._line(f"workshop run: {count} on the {target} target")
        self._line(self._dim(f"report: {_near(folder)}"))

    def step(self, step: Step) -> None:
        """Begin a step."""
        self._line("")
        given = f"  ({shown(step.parameters)})" if step.parameters else ""
        self._line(self._bold(step.name) + self._dim(given))
        self._subject = ""

    def display(self, bundle: Mapping[str, Any]) -> None:
        """Show what a notebook displays, when it is progress or an answer."""
        if PROGRESS in bundle:
            news = bundle[PROGRESS]
            self._progress(str(news["subject"]), str(news["latest"]), bool(news["replaces"]))
        elif ANSWER in bundle:
            answer = bundle[ANSWER]
            mark = self._mark(ok=bool(answer["grounded"]))
            self._line(f"  {answer['seconds']:8.1f} s  {mark} {_short(answer['question'])}")
            self._line(f"              {_short(answer['text'])}")
            self._subject = ""

    def note(self, text: str) -> None:
        """Say something between the lines."""
        self._line(f"  {text}")

    def ended(self, step: StepReport) -> None:
        """Say how a step ended."""
        passed = sum(bool(check["ok"]) for check in step.checks)
        checks = f", {passed} of {len(step.checks)} checks" if step.checks else ""
        status = self._coloured_status(step.status)
        if step.status == "skipped":
            self._line(f"  {status}: {step.reason}")
        else:
            self._line(f"  {status} in {step.seconds:.1f} s{checks}")

    def failure(self, step: StepReport, traceback: Sequence[str], notebook: Path) -> None:
        """Show why a step failed, and where to look."""
        self._line("")
        self._line(self._bold(f"{step.notebook} failed"))
        for line in (step.reason or "").splitlines():
            self._line(f"  {line}")
        for line in list(traceback)[-TRACEBACK:]:
            self._line(self._dim(f"  | {plain(line)}"))
        if notebook.exists():
            self._line(f"  the notebook as far as it came: {_near(notebook)}")

    def closing(self, report: Report, page: Path, services: Iterable[PartStatus]) -> None:
        """The summary: steps, answers, report, and what still runs."""
        self._line("")
        width = max(len(step.notebook) for step in report.steps)
        self._line(self._dim(f"{'step':<{width}}  {'status':<8}  seconds  checks"))
        for step in report.steps:
            self._line(self._row(step, width))
        self._answers(report.answers)
        self._line("")
        status = self._coloured_status(report.status)
        self._line(f"The run {status} after {report.seconds:.1f} s. Report: {_near(page)}")
        running = list(services)
        if running:
            named = max(len(part.name) for part in running)
            self._line("The services stay up: workshop status; stop them: workshop stop")
            for part in running:
                self._line(f"  {part.name:<{named}}  {part.url}")

    def _row(self, step: StepReport, width: int) -> str:
        status = self._coloured_status(step.status) + " " * (8 - len(step.status))
        passed = sum(bool(check["ok"]) for check in step.checks)
        checks = f"{passed}/{len(step.checks)}" if step.checks else "-"
        seconds = f"{step.seconds:7.1f}" if step.status != "not run" else f"{'-':>7}"
        reason = (step.reason or "").splitlines()
        shown_reason = self._dim("  " + _short(reason[0], 70)) if reason else ""
        return f"{step.notebook:<{width}}  {status}  {seconds}  {checks:>6}{shown_reason}"

    def _answers(self, answers: Sequence[Mapping[str, Any]]) -> None:
        if not answers:
            return
        good = sum(bool(answer["grounded"]) for answer in answers)
        self._line("")
        self._line(self._bold(f"answers: {good} of {len(answers)} grounded"))
        for answer in answers:
            tools = ", ".join(call["name"] for call in answer["tool_calls"]) or "no tool"
            mark = self._mark(ok=bool(answer["grounded"]))
            self._line(f"  {mark} {_short(answer['question'])}")
            self._line(self._dim(f"         {tools}, {answer['seconds']:.1f} s"))
            self._line(f"         {_short(answer['text'])}")

    def _progress(self, subject: str, latest: str, replaces: bool) -> None:
        if subject != self._subject:
            self._line(self._dim(f"  {subject}"))
            self._subject, replaces = subject, False
        if replaces and not self._terminal:
            return
        if replaces and self._redrawable:
            self._stream.write("\x1b[1A\r\x1b[J")
        text = plain(latest).replace("\n", " ")
        for ok, mark in ((True, "[ OK ]"), (False, "[FAIL]")):
            text = text.replace(mark, self._mark(ok=ok), 1)
        self._line(f"    {text}", whole=not self._terminal)
        self._redrawable = True

    def _line(self, text: str, *, whole: bool = True) -> None:
        text = self._masked(text)
        if not whole:
            text = _cut(text, shutil.get_terminal_size().columns)
        self._stream.write(text + "\n")
        self._stream.flush()
        self._redrawable = False

    def _mark(self, *, ok: bool) -> str:
        return self._paint("[ OK ]", "32") if ok else self._paint("[FAIL]", "31;1")

    def _coloured_status(self, status: str) -> str:
        return self._paint(status, _COLOURS[status])

    def _bold(self, text: str) -> str:
        return self._paint(text, "1")

    def _dim(self, text: str) -> str:
        return self._paint(text, "2")

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._coloured and text else text


def _cut(text: str, width: int) -> str:
    """The text on one row, so that it can be redrawn; colours take no room."""
    room = width - 1
    pieces = re.split(f"({_ESCAPES.pattern})", text)
    for index in range(0, len(pieces), 2):
        if len(pieces[index]) > room:
            pieces[index] = pieces[index][: max(room - 1, 0)] + "…"
            return "".join(pieces[: index + 1]) + ("\x1b[0m" if index else "")
        room -= len(pieces[index])
    return text


def _short(text: str, limit: int = 160) -> str:
    text = plain(" ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _near(path: Path) -> str:
    """The path as it is shortest to type here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
