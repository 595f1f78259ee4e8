"""A real browser, and a JupyterLab that it shows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Page, expect, sync_playwright
from workshop.core.settings import CHECKOUT
from workshop.core.wait import NotYet, wait_for

REQUIRED = "TEST_BROWSER_REQUIRED"
"""The variable that turns a skip into a failure."""

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60
SCREENSHOTS = CHECKOUT / "test-reports" / "screenshots"

expect.set_options(timeout=SECONDS * 1000)


@contextmanager
def shown(name: str) -> Iterator[Page]:
    """A page of a laptop's size in Chromium; what it showed at the end is kept by this name.

    While it is open, this thread has an event loop that runs: no other can be started in it.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        reason = f"a browser is wanted, one of {', '.join(NAMES)}"
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(reason)
    with sync_playwright() as playwright:
        # Chromium refuses root otherwise. It opens nothing but this machine's own pages.
        root = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=root)
        context = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
        context.set_default_timeout(SECONDS * 1000)
        page = context.new_page()
        try:
            yield page
        finally:
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}.png")
            browser.close()


CURRENT = "window.jupyterapp.shell.currentWidget"


@dataclass(frozen=True)
class Lab:
    """A JupyterLab that ``make lab`` started, on a copy of what people open."""

    url: str
    token: str
    folder: Path

    def open(self, page: Page, path: str) -> None:
        """Show a file in its editor; a notebook when its kernel is there."""
        page.goto(f"{self.url}/lab/tree/{path}?token={self.token}&reset")
        page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.context?.isReady")
        if path.endswith(".ipynb"):
            page.wait_for_function(f"() => {CURRENT}.sessionContext.session?.kernel")

    def run(self, page: Page, cells: int) -> list[dict[str, Any]]:
        """Run so many cells with Shift+Enter, as a person does; gives the outputs of all."""
        page.evaluate(f"() => {{ {CURRENT}.content.activeCellIndex = 0; }}")
        page.locator(".jp-Notebook").focus()
        for _cell in range(cells):
            page.keyboard.press("Shift+Enter")
        page.wait_for_function(
            f"""count => {{
                const cells = {CURRENT}.content.widgets.slice(0, count)
                    .map(cell => cell.model).filter(cell => cell.type == "code");
                const failed = cell => cell.outputs.toJSON().some(o => o.output_type == "error");
                return cells.every(c => c.executionCount && c.executionState == "idle")
                    || cells.some(failed);
            }}""",
            arg=cells,
        )
        found: list[dict[str, Any]] = page.evaluate(
            f"() => {CURRENT}.content.widgets.flatMap(cell => cell.model.outputs?.toJSON() ?? [])"
        )
        return found


def notebook(folder: Path, code: str) -> str:
    """Write a notebook of one cell; gives its name."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    # Else JupyterLab asks which kernel it should be.
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    nbformat.write(made, folder / "box.ipynb")
    return "box.ipynb"


@contextmanager
def started(folder: Path, home: Path) -> Iterator[Lab]:
    """What ``make lab`` starts, with this folder as its root; ``home`` is the kit's state."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = f"--no-browser --ServerApp.port={port} --LabApp.expose_app_in_browser=True"
    kept = folder.parent / f"{folder.name} of the lab"
    kept.mkdir()
    log = kept / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            ["make", "--no-print-directory", "lab", f"LAB_ROOT={folder}", f"ARGS={options}"],
            cwd=CHECKOUT,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ
            | {"WORKSHOP_HOME": str(home)}
            | {f"JUPYTERLAB_{what}_DIR": str(kept / what) for what in ("SETTINGS", "WORKSPACES")},
        )

    def address() -> re.Match[str] | NotYet:
        assert server.poll() is None, log.read_text()
        said = re.search(r"(http://127\.0\.0\.1:\d+)/lab/\S+\?token=(\w+)", log.read_text())
        return said or NotYet(log.read_text()[-300:])

    try:
        found = wait_for("JupyterLab", address, timeout=SECONDS)
        yield Lab(found[1], found[2], folder)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
