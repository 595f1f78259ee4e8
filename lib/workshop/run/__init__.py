"""Runs the notebooks one after the other, and reports. Ctrl-C ends the step, or its kernel."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Self

from workshop.core.secret import Secret
from workshop.report import Folder, Report, StepReport, judge, page, plotted
from workshop.run.steps import CLEAN_UP, INTERRUPTED, Step
from workshop.run.view import View, plain
from workshop.targets.base import PartStatus

if TYPE_CHECKING:
    from workshop.run.kernels import Kernel


class Interrupts:
    """Passes a run's signals on: the first one ends the step that runs, the second its kernel.

    Args:
        say: Tells the user what the first one does.

    Attributes:
        happened: Whether one came during the run.
        count: How many came since the step began, which sets it to 0.
        kernel: What they end; None between two steps, where the runner asks ``happened``.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.happened = False
        self.count = 0
        self.kernel: Kernel | None = None
        self._say = say

    def __enter__(self) -> Self:
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._came) for number in numbers}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _came(self, _number: int, _frame: FrameType | None) -> None:
        self.happened = True
        self.count += 1
        if self.count == 1:
            self._say("stopping this cell: Ctrl-C again ends its kernel at once")
        if self.kernel is not None:
            self.kernel.signal(signal.SIGINT if self.count == 1 else signal.SIGKILL)
        elif self.count > 1:
            raise KeyboardInterrupt


@dataclass
class _Run:
    """What the steps of one run share."""

    folder: Folder
    report: Report
    view: View
    interrupts: Interrupts
    stack: contextlib.ExitStack
    pool: ThreadPoolExecutor
    before: Callable[[Step], object]
    began: float = field(default_factory=time.monotonic)
    pages: dict[str, Future[str]] = field(default_factory=dict)
    kernel: Kernel | None = None
    """The next step's, started while this one runs."""

    def start(self, step: Step) -> Kernel:
        """Start a kernel for this step; it has ended when the run has."""
        from workshop.run.kernels import Kernel

        kernel = Kernel(step.path.parent, str(step.path))
        self.stack.callback(kernel.end)
        return kernel

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
    services: Callable[[], Iterable[PartStatus]],
    before: Callable[[Step], object],
) -> tuple[Report, bool]:
    """Execute the steps until one fails; a step 99 runs in the end, whatever happened.

    Gives the report, and whether the run was interrupted. ``runs`` is the folder of all runs;
    ``known_secrets`` are shown by no file and no line; ``services`` are asked for in the end, and
    ``before`` is called before each step that is executed.

    Raises:
        WorkshopError: The report cannot be written, or no kernel can be started.
    """
    folder = Folder(runs, known_secrets)
    view = View(sys.stdout, folder.mask)
    report = Report(target, folder.started, [StepReport(step.name) for step in steps])
    folder.write_json("report.json", report.as_dict())
    view.begin(target, steps, folder.path)
    with (
        Interrupts(view.note) as interrupts,
        page.quick(),
        contextlib.ExitStack() as stack,
        # Pages are made while the notebooks wait for their parts.
        ThreadPoolExecutor(1) as pool,
    ):
        this = _Run(folder, report, view, interrupts, stack, pool, before)
        show_failure = _steps(this, steps)
        this.save()
    for notebook, made in this.pages.items():
        if made.exception():
            view.note(f"no page could be made from {notebook}: open the notebook itself")
    pages = [made.result() for made in this.pages.values() if not made.exception()]
    page.unlink(folder.path, pages)
    written = folder.write("index.html", page.render(report, pages))
    if show_failure:
        show_failure()
    view.closing(report, written, services())
    return report, interrupts.happened


def _steps(this: _Run, steps: Sequence[Step]) -> Callable[[], None] | None:
    """Execute the steps; gives what shows the first failure, unless all went well."""
    first = None
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
            # Its first signal, also after an interrupted step.
            this.interrupts.count = 0
            this.before(step)
            later = next((step for step in steps[index + 1 :] if not step.skip), None)
            if failed := _step(this, step, reported, later):
                first, stopped = first or failed, f"{step.name} failed"
        this.view.ended(reported)
        this.save()
    return first


def _step(
    this: _Run, step: Step, reported: StepReport, later: Step | None
) -> Callable[[], None] | None:
    """Execute one notebook; ``later`` is executed after it. Gives what shows its failure."""
    began = time.monotonic()
    path = this.folder.path / f"{step.name}.ipynb"
    kernel = this.interrupts.kernel = this.kernel or this.start(step)
    this.kernel = this.start(later) if later else None
    # While the first kernel starts, which takes as long.
    from workshop.run import engine

    notebook, failure = engine.execute(
        step,
        kernel,
        show=this.view.display,
        save=lambda notebook: this.folder.write_json(path.name, notebook),
        stopped=lambda: this.interrupts.count,
    )
    this.interrupts.kernel = None
    if failure and this.interrupts.count:
        failure = engine.Failure(INTERRUPTED)
    reported.seconds = round(time.monotonic() - began, 2)
    # Masked here already: what is made of it later may spell a credential in its own way.
    reason = this.folder.mask(plain(failure.reason)) if failure else None
    executed = this.folder.clean(notebook)
    this.report.answers.extend(judge(reported, executed, reason))
    this.report.plots.extend(plotted(reported, executed))
    this.pages[path.name] = this.pool.submit(page.write_notebook, path)
    if reported.status != "failed":
        return None
    return partial(this.view.failure, reported, failure.traceback if failure else (), path)
