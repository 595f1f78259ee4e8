"""What ``workshop run`` shows in the terminal."""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from workshop.agent.answer import MIME as ANSWER
from workshop.core.checks import MARKS
from workshop.core.progress import MIME as PROGRESS
from workshop.core.table import counted, shortened
from workshop.report import Report, StepReport
from workshop.run.steps import Step
from workshop.targets.base import PartStatus

TRACEBACK = 15  # Lines of a traceback that are shown: its end says what went wrong.
_UNWANTED = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")

_STYLES = {
    **{"bold": "1", "dim": "2", "[ OK ]": "32", "[FAIL]": "31;1"},
    **{"passed": "32", "skipped": "36", "failed": "31;1", "not run": "2"},
}


def plain(text: str) -> str:
    """The text without colours and control characters."""
    return _UNWANTED.sub("", text)


class View:
    """Writes a run's progress, line by line; ``masked`` takes credentials out of a text."""

    def __init__(self, stream: TextIO, masked: Callable[[str], str] = str) -> None:
        self._stream = stream
        self._masked = masked
        self._terminal = stream.isatty()
        self._coloured = self._terminal and not os.environ.get("NO_COLOR")
        self._subject = ""
        self._redrawable = False

    def begin(self, target: str, steps: Sequence[Step], folder: Path) -> None:
        """Say what will run, and where its report will be."""
        count = counted(len(steps), "step")
        self._line(f"workshop run: {count} on the {target} target")
        self._line(self._paint(f"report: {_near(folder)}", "dim"))

    def step(self, step: Step) -> None:
        """Start a step."""
        given = ", ".join(f"{name}={value!r}" for name, value in step.parameters.items())
        self._line()
        shown = f"  ({given})" if given else ""
        self._line(self._paint(step.name, "bold") + self._paint(shown, "dim"))
        self._subject = ""

    def display(self, bundle: Mapping[str, Any]) -> None:
        """Show what a notebook displays, when it is progress or an answer."""
        if PROGRESS in bundle:
            news = bundle[PROGRESS]
            self._progress(str(news["subject"]), str(news["latest"]), bool(news["replaces"]))
        elif ANSWER in bundle:
            answer = bundle[ANSWER]
            mark = self._paint(MARKS[bool(answer["grounded"])])
            self._line(f"  {answer['seconds']:8.1f} s  {mark} {_short(answer['question'])}")
            self._line(f"              {_short(answer['text'])}")
            self._subject = ""

    def note(self, text: str) -> None:
        """Say something between the lines."""
        self._line(f"  {text}")

    def ended(self, step: StepReport) -> None:
        """Say how a step ended."""
        if step.status == "skipped":
            how = f": {step.reason}"
        else:
            how = f" in {step.seconds:.1f} s"
            how += f", {_passed(step)} of {len(step.checks)} checks" if step.checks else ""
        self._line(f"  {self._paint(step.status)}{how}")

    def failure(self, step: StepReport, traceback: Sequence[str], notebook: Path) -> None:
        """Show why a step failed, and where to look."""
        self._line()
        self._line(self._paint(f"{step.notebook} failed", "bold"))
        for line in (step.reason or "").splitlines():
            self._line(f"  {line}")
        for line in list(traceback)[-TRACEBACK:]:
            self._line(self._paint(f"  | {plain(line)}", "dim"))
        if notebook.exists():
            self._line(f"  the notebook up to this failure: {_near(notebook)}")

    def closing(self, report: Report, page: Path, services: Iterable[PartStatus]) -> None:
        """The summary: steps, answers, report, and what still runs."""
        self._line()
        width = max(len(step.notebook) for step in report.steps)
        self._line(self._paint(f"{'step':<{width}}  {'status':<8}  seconds  checks", "dim"))
        for step in report.steps:
            seconds = f"{step.seconds:.1f}" if step.status != "not run" else "-"
            checks = f"{_passed(step)}/{len(step.checks)}" if step.checks else "-"
            reason = (step.reason or "").splitlines()
            why = self._paint("  " + _short(reason[0], 70), "dim") if reason else ""
            status = self._paint(step.status) + " " * (8 - len(step.status))
            self._line(f"{step.notebook:<{width}}  {status}  {seconds:>7}  {checks:>6}{why}")
        self._answers(report.answers)
        self._line()
        end = f"after {report.seconds:.1f} s. Report: {_near(page)}"
        self._line(f"The run {self._paint(report.status)} {end}")
        running = list(services)
        if running:
            named = max(len(part.name) for part in running)
            self._line("The parts keep running: workshop status; stop them: workshop stop")
            for part in running:
                self._line(f"  {part.name:<{named}}  {part.url}")

    def _answers(self, answers: Sequence[Mapping[str, Any]]) -> None:
        if not answers:
            return
        good = sum(bool(answer["grounded"]) for answer in answers)
        self._line()
        self._line(self._paint(f"answers: {good} of {len(answers)} grounded", "bold"))
        for answer in answers:
            tools = ", ".join(call["name"] for call in answer["tool_calls"]) or "no tool"
            mark = self._paint(MARKS[bool(answer["grounded"])])
            self._line(f"  {mark} {_short(answer['question'])}")
            self._line(self._paint(f"         {tools}, {answer['seconds']:.1f} s", "dim"))
            self._line(f"         {_short(answer['text'])}")

    def _progress(self, subject: str, latest: str, replaces: bool) -> None:
        if subject != self._subject:
            self._line(self._paint(f"  {subject}", "dim"))
            self._subject, replaces = subject, False
        if replaces and not self._terminal:
            return
        if replaces and self._redrawable:
            self._stream.write("\x1b[1A\r\x1b[J")
        text = self._masked("    " + plain(latest).replace("\n", " "))
        room = shutil.get_terminal_size().columns - 1
        if self._terminal and len(text) > room:
            # On one row, so that it can be redrawn.
            text = shortened(text, max(room, 1))
        for mark in MARKS.values():
            text = text.replace(mark, self._paint(mark), 1)
        self._line(text)
        self._redrawable = True

    def _line(self, text: str = "") -> None:
        self._stream.write(self._masked(text) + "\n")
        self._stream.flush()
        self._redrawable = False

    def _paint(self, text: str, style: str = "") -> str:
        code = _STYLES[style or text]
        return f"\x1b[{code}m{text}\x1b[0m" if self._coloured and text else text


def _passed(step: StepReport) -> int:
    return sum(bool(check["ok"]) for check in step.checks)


def _short(text: str, limit: int = 160) -> str:
    return shortened(plain(" ".join(text.split())), limit)


def _near(path: Path) -> str:
    """The path as it is shortest to type here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
