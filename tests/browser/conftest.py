"""What people look at, in a real browser; skipped where there is none."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from workshop.core.settings import CHECKOUT

REQUIRED = "TEST_BROWSER_REQUIRED"
"""The variable that makes a failure of what would be skipped."""

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60
SCREENSHOTS = CHECKOUT / "test-reports" / "screenshots"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, headless."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        reason = f"a browser is wanted, one of {', '.join(NAMES)}"
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(reason)
    with sync_playwright() as playwright:
        # Chromium refuses root otherwise. It opens nothing but this machine's own pages.
        root = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=root)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a laptop's size; what it showed at the end is kept."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
    context.set_default_timeout(SECONDS * 1000)
    page = context.new_page()
    yield page
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{re.sub(r'[^a-z0-9]+', '-', request.node.name)}.png")
    context.close()


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
            f"""count => {CURRENT}.content.widgets.slice(0, count).every(
                cell => cell.model.type != "code"
                    || (cell.model.executionCount && cell.model.executionState == "idle"))""",
            arg=cells,
        )
        found: list[dict[str, Any]] = page.evaluate(
            f"() => {CURRENT}.content.widgets.flatMap(cell => cell.model.outputs?.toJSON() ?? [])"
        )
        return found


CURRENT = "window.jupyterapp.shell.currentWidget"


@pytest.fixture(scope="session")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Opened notebooks are saved: so they are a copy. The kit is the checkout's."""
    folder, home = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("home")
    for name in ("notebooks", "docs", "README.md", "data"):
        source = CHECKOUT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = (
        *("--no-browser", f"--ServerApp.port={port}", "--LabApp.expose_app_in_browser=True"),
    )
    server = subprocess.Popen(
        ["make", "--no-print-directory", "lab", f"LAB_ROOT={folder}", f"ARGS={' '.join(options)}"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ
        | {"WORKSHOP_HOME": str(home / "state")}
        | {f"JUPYTERLAB_{what}_DIR": str(home / what) for what in ("SETTINGS", "WORKSPACES")},
    )
    try:
        assert server.stdout
        seen, address = "", None
        for line in server.stdout:
            seen += line
            if address := re.search(r"(http://127\.0\.0\.1:\d+)/lab/\S+\?token=(\w+)", line):
                break
        assert address, seen
        yield Lab(address[1], address[2], folder)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.communicate(timeout=30)
