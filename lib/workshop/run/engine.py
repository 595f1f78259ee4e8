"""Executes one notebook: papermill puts its parameters in, nbclient runs its cells."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import papermill  # type: ignore[import-untyped]
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from workshop.core.errors import LOG_LINES
from workshop.run.kernels import Kernel
from workshop.run.steps import INTERRUPTED, Step

PICTURE = re.compile(r"\]\(([\w./-]+\.svg)\)")
"""A picture beside the notebook, in Markdown."""

START = 120  # Seconds for a kernel to answer: two, on an idle machine.
OUTPUT = 60
"""Seconds to wait for the outputs of a cell that has ended: on a busy machine they lag behind."""


class Failure(NamedTuple):
    """Why a notebook stopped; the traceback where the reason, the error's text, is not enough."""

    reason: str
    traceback: Sequence[str] = ()


class _Client(NotebookClient):
    """Passes on what the notebook displays while it runs."""

    show: Callable[[Any], object]

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Show a display, then do with it what nbclient does."""
        if msg["msg_type"] in ("display_data", "update_display_data", "execute_result"):
            self.show(msg["content"]["data"])
        return super().process_message(msg, cell, cell_index)


def execute(
    step: Step,
    kernel: Kernel,
    *,
    show: Callable[[Mapping[str, Any]], object],
    save: Callable[[Any], object],
    stopped: Callable[[], object] = lambda: False,
) -> tuple[Any, Failure | None]:
    """Execute one notebook; gives it as far as it came, and its failure unless it passed.

    The kernel may still be starting, and has ended afterwards. ``show`` gets the MIME bundle of
    each display, ``save`` the notebook as it is so far; ``stopped`` is asked before each cell.
    """
    notebook = papermill.execute_notebook(
        # papermill takes a path as a format string.
        str(step.path).replace("{", "{{").replace("}", "}}"),
        None,
        parameters=dict(step.parameters),
        kernel_name="python3",
        language="python",
        prepare_only=True,
    )
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # Left by JupyterLab, perhaps: not by this run.
            cell.outputs, cell.execution_count = [], None
        else:
            _attach(cell, step.path.parent)
    client = _Client(
        notebook,
        km=kernel.manager,
        startup_timeout=START,
        iopub_timeout=OUTPUT,
        raise_on_iopub_timeout=True,
    )
    client.show = show
    try:
        with client.setup_kernel(cleanup_kc=True):
            for index, cell in enumerate(notebook.cells):
                if stopped():
                    return notebook, Failure(INTERRUPTED)
                save(notebook)
                client.execute_cell(cell, index)
    except CellExecutionError as error:
        return notebook, _failed(cell, error)
    except (RuntimeError, TimeoutError) as error:
        return notebook, _ended(step, kernel, error)
    finally:
        client.set_widgets_metadata()
        save(notebook)
    return notebook, None


def _attach(cell: Any, folder: Path) -> None:
    """Put the pictures that a cell names into it: the executed notebook lies in another folder."""
    for name in PICTURE.findall(cell.source):
        picture = folder / name
        if picture.is_file():
            code = base64.b64encode(picture.read_bytes()).decode()
            cell.setdefault("attachments", {})[picture.name] = {"image/svg+xml": code}
            cell.source = cell.source.replace(f"]({name})", f"](attachment:{picture.name})")


def _failed(cell: Any, error: CellExecutionError) -> Failure:
    shown = [text for output in cell.outputs for text in output.get("traceback", ())]
    if shown == [f"{error.ename}: {error.evalue}"]:
        # One of the kit's own errors: it shows itself without a traceback.
        return Failure(error.evalue)
    said = f"{error.ename}: {error.evalue}" if error.evalue else error.ename
    return Failure(said, "\n".join(shown).splitlines())


def _ended(step: Step, kernel: Kernel, error: Exception) -> Failure:
    what = f"did not answer: {error}"
    if "Kernel died" in str(error):
        code = kernel.process.poll() or 0
        what = f"ended ({f'killed by signal {-code}' if code < 0 else f'exit code {code}'})"
    text = kernel.log.read_text(encoding="utf-8", errors="replace")
    log = [f"    {line}" for line in text.splitlines() if line.strip()][-LOG_LINES:]
    lines = ["  Last lines that it wrote:", *log] if log else []
    hint = "  Hint: is there memory left? workshop doctor"
    return Failure("\n".join([f"the kernel of {step.number} {what}", *lines, hint]))
