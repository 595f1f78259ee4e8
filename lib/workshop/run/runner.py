"""Runs the notebooks one after the other, and reports."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workshop.core.secret import Secret
from workshop.report import render
from workshop.report.report import Folder, Report, StepReport, judge, plotted
from workshop.run.interrupts import Interrupts
from workshop.run.sequence import CLEAN_UP, Step
from workshop.run.view import View, plain
from workshop.targets.base import PartStatus

if TYPE_CHECKING:
    from workshop.report.render import Renderer
    from workshop.run.kernels import Kernels

INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    report: Report
    folder: Path
    interrupted: bool


@dataclass(frozen=True)
class Fault:
    """A step that failed, with the traceback of its cell when that says more than the reason."""

    step: StepReport
    traceback: Sequence[str]
    notebook: Path


@dataclass
class _Run:
    """What the steps of one run share."""

    folder: Folder
    report: Report
    view: View
    interrupts: Interrupts
    kernels: Kernels
    renderer: Renderer
    began: float
    before: Callable[[Step], object]

    def save(self) -> None:
        """Bring report.json up to date: a crash leaves what is known by then."""
        self.report.seconds = time.monotonic() - self.began
        self.report.conclude()
        self.folder.write_json("report.json", self.report.as_dict())


def run(
    steps: Sequence[Step],
    *,
    target: str,
    runs: Path,
    known_secrets: Callable[[], Iterable[Secret]],
    view: Callable[[Callable[[str], str]], View],
    services: Callable[[], Iterable[PartStatus]],
    before: Callable[[Step], object] = lambda _step: None,
) -> Outcome:
    """Execute the steps until one fails; a step 99 runs in the end, whatever happened.

    Args:
        steps: With their parameters and skip reasons.
        target: Its name, for the report.
        runs: The folder of all runs.
        known_secrets: The credentials that no file may show.
        view: Makes the view, given what masks a text.
        services: What runs, asked in the end.
        before: Called before each step that is executed.

    Raises:
        WorkshopError: The report cannot be written, or no kernel can be started.
    """
    began = time.monotonic()
    folder = Folder(runs, known_secrets)
    shown = view(folder.masked)
    report = Report(target, folder.started, [StepReport(step.name) for step in steps])
    folder.write_json("report.json", report.as_dict())
    shown.begin(target, steps, folder.path)
    with Interrupts(shown.note) as interrupts, contextlib.ExitStack() as stack, render.quick():
        from workshop.run.kernels import Kernels

        count = _executed(steps)
        kernels = Kernels(steps[0].path.parent, count)
        stack.callback(kernels.close)
        kernels.prepare(count)
        # While the first kernel starts, which takes as long.
        from workshop.report.render import Renderer

        renderer = Renderer()
        stack.callback(renderer.close)
        this = _Run(folder, report, shown, interrupts, kernels, renderer, began, before)
        fault = _steps(this, steps)
        this.save()
        pages = renderer.finish()
        for notebook in renderer.missing:
            shown.note(f"no page could be made of {notebook}: open the notebook itself")
    from workshop.report.page import write

    page = write(folder, report, pages)
    if fault:
        shown.failure(fault.step, fault.traceback, fault.notebook)
    shown.closing(report, page, services())
    return Outcome(report, folder.path, interrupts.happened)


def _executed(steps: Sequence[Step]) -> int:
    return sum(not step.skip for step in steps)


def _steps(this: _Run, steps: Sequence[Step]) -> Fault | None:
    """Execute the steps; gives the first fault."""
    first: Fault | None = None
    stopped = ""
    for index, (step, reported) in enumerate(zip(steps, this.report.steps, strict=True)):
        if this.interrupts.happened and not stopped:
            stopped = INTERRUPTED
        if stopped and step.number != CLEAN_UP:
            reported.reason = stopped
            continue
        this.view.step(step)
        if step.skip:
            reported.status, reported.reason = "skipped", step.skip
        else:
            this.interrupts.again()
            this.before(step)
            fault = _step(this, step, reported, later=_executed(steps[index + 1 :]))
            if fault:
                first, stopped = first or fault, f"{step.name} failed"
        this.view.ended(reported)
        this.save()
    return first


def _step(this: _Run, step: Step, reported: StepReport, *, later: int) -> Fault | None:
    """Execute one notebook; ``later`` is how many are executed after it."""
    from workshop.run import engine

    began = time.monotonic()
    name = f"{step.name}.ipynb"
    kernel = this.kernels.take()
    execution = engine.Execution(
        kernel, this.view.display, lambda notebook: this.folder.write_json(name, notebook)
    )
    interrupted = this.interrupts.happened
    this.interrupts.kernel = kernel
    try:
        this.kernels.prepare(later)
        failure = engine.execute(step.path, step.parameters, execution)
    finally:
        this.interrupts.kernel = None
        this.kernels.give_back(kernel)
    if failure and this.interrupts.happened and not interrupted:
        failure = engine.Failure(INTERRUPTED)
    reported.seconds = round(time.monotonic() - began, 2)
    # Masked here already: what is made of it later may spell a credential in its own way.
    reason = this.folder.masked(plain(failure.reason)) if failure else None
    executed = this.folder.clean(execution.notebook)
    this.report.answers.extend(judge(reported, executed, reason))
    this.report.plots.extend(plotted(reported, executed))
    this.renderer.add(this.folder.path / name)
    if reported.status != "failed":
        return None
    return Fault(reported, failure.traceback if failure else (), this.folder.path / name)
