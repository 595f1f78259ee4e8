"""What people look at, in a real browser; skipped where there is none."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest
from jupyter_lab import Lab
from playwright.sync_api import Browser, Page, expect, sync_playwright
from workshop.core.settings import CHECKOUT
from workshop.core.wait import NotYet, wait_for

REQUIRED = "TEST_BROWSER_REQUIRED"
"""The variable that turns a skip into a failure."""

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60
SCREENSHOTS = CHECKOUT / "test-reports" / "screenshots"

expect.set_options(timeout=SECONDS * 1000)


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
    page.screenshot(
        path=SCREENSHOTS / f"{re.sub(r'[^a-z0-9]+', '-', request.node.name.lower())}.png"
    )
    context.close()


@pytest.fixture(scope="session")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Opened notebooks are saved: so they are a copy. The kit is the checkout's."""
    folder, home = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("home")
    for name in ("notebooks", "docs", "README.md", "data"):
        source = CHECKOUT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = f"--no-browser --ServerApp.port={port} --LabApp.expose_app_in_browser=True"
    log = home / "log"
    server = subprocess.Popen(
        ["make", "--no-print-directory", "lab", f"LAB_ROOT={folder}", f"ARGS={options}"],
        cwd=CHECKOUT,
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=os.environ
        | {"WORKSHOP_HOME": str(home / "state")}
        | {f"JUPYTERLAB_{what}_DIR": str(home / what) for what in ("SETTINGS", "WORKSPACES")},
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
