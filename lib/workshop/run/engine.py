"""A papermill engine that shows messages as they come, and that a dead kernel cannot hang."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import papermill  # type: ignore[import-untyped]
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient  # type: ignore[import-untyped]
from papermill.engines import (  # type: ignore[import-untyped]
    NBClientEngine,
    NotebookExecutionManager,
    papermill_engines,
)
from papermill.exceptions import PapermillExecutionError  # type: ignore[import-untyped]

from workshop.run.kernels import Kernel

NAME = "workshop"

OUTPUT = 60
"""Seconds to wait for the outputs of a cell that has ended: on a busy machine they lag behind."""

Message = Callable[[Mapping[str, Any]], None]
"""Gets the MIME bundle of each display of a running notebook."""


@dataclass(frozen=True)
class Failure:
    """Why a notebook stopped: the cell's error, or the kernel's end.

    Args:
        reason: For the report: the error's own text.
        traceback: For the terminal, when the error is not one of the kit's own.
    """

    reason: str
    traceback: tuple[str, ...] = ()


@dataclass
class Execution:
    """One notebook's execution, given to the engine.

    Args:
        kernel: Runs the cells; already starting.
        show: Gets what the notebook displays.
        save: Writes the notebook as it is so far.
    """

    kernel: Kernel
    show: Message
    save: Callable[[Any], object]
    notebook: Any = field(default_factory=lambda: {"cells": []})


def execute(path: Path, parameters: Mapping[str, Any], execution: Execution) -> Failure | None:
    """Execute one notebook; gives its failure, or None when it passed.

    ``execution.notebook`` is the executed notebook, as far as it came.
    """
    # papermill takes a path as a format string.
    source = str(path).replace("{", "{{").replace("}", "}}")
    try:
        papermill.execute_notebook(
            source,
            # The engine saves, so that no credential is on disk for even a moment.
            None,
            parameters=dict(parameters),
            engine_name=NAME,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            execution=execution,
        )
    except PapermillExecutionError as error:
        return _failure(error)
    except (DeadKernelError, RuntimeError) as error:
        return _ended(path, execution, error)
    return None


def _failure(error: PapermillExecutionError) -> Failure:
    said = f"{error.ename}: {error.evalue}"
    traceback = tuple("".join(f"{part}\n" for part in error.traceback).splitlines())
    if list(error.traceback) == [said]:
        # One of the kit's own errors: it shows itself without a traceback.
        return Failure(error.evalue)
    return Failure(said if error.evalue else error.ename, traceback)


def _ended(path: Path, execution: Execution, error: RuntimeError) -> Failure:
    kernel = execution.kernel
    what = f"did not answer: {error}" if kernel.alive else f"ended ({kernel.ending})"
    lines = [f"the kernel of {path.stem[:2]} {what}"]
    log = kernel.log_tail()[-12:]
    if log:
        lines += ["  Last lines that it wrote:", *(f"    {line}" for line in log)]
    lines.append("  Hint: is there memory left? workshop doctor")
    return Failure("\n".join(lines))


class _Saving(NotebookExecutionManager):  # type: ignore[misc]
    """Saves through the execution, which masks credentials."""

    def __init__(self, notebook: Any, execution: Execution) -> None:
        super().__init__(notebook, None, progress_bar=False)
        self._execution = execution

    def save(self, **_options: Any) -> None:
        """Write the notebook as it is so far."""
        self._execution.notebook = self.nb
        self._execution.save(self.nb)
        self.last_save_time = self.now()


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """Passes on what the notebook displays."""

    def __init__(self, saving: NotebookExecutionManager, execution: Execution) -> None:
        super().__init__(
            saving,
            km=execution.kernel.manager,
            kernel_name="python3",
            iopub_timeout=OUTPUT,
            timeout=None,
        )
        self._execution = execution
        self.kc = execution.kernel.connect()

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Show a display, then do with it what papermill does."""
        if msg["msg_type"] in ("display_data", "update_display_data", "execute_result"):
            self._execution.show(msg["content"]["data"])
        return super().process_message(msg, cell, cell_index)


class _Engine(NBClientEngine):  # type: ignore[misc]
    """Runs a notebook in a kernel that is given to it."""

    @classmethod
    def execute_notebook(
        cls, nb: Any, kernel_name: str, *, execution: Execution, **_options: Any
    ) -> Any:
        """Execute the cells, saving on the way."""
        nb.metadata.papermill.pop("output_path", None)
        saving = _Saving(nb, execution)
        saving.notebook_start()
        try:
            _Client(saving, execution).execute()
        finally:
            saving.notebook_complete()
        return saving.nb


papermill_engines.register(NAME, _Engine)
