"""The pages of a run, for people who use a keyboard, a screen reader or a dark theme."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from workshop.core.settings import CHECKOUT

pytestmark = pytest.mark.timeout(300)


RUNS = {"passes": ("--to", "01"), "fails": ("--from", "06", "--to", "07")}
"""Steps that pass, are skipped, fail and are not run: without a model there is nothing to ask."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each run."""
    found = {}
    for name, words in RUNS.items():
        home = tmp_path_factory.mktemp(name)
        done = subprocess.run(
            [sys.executable, "-m", "workshop.cli", "run", "--target", "local", *words],
            cwd=CHECKOUT,
            env=os.environ | {"WORKSHOP_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )
        assert done.returncode == (name == "fails"), done.stdout
        found[name] = (home / "runs" / "latest").resolve()
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("passes", "index"),
        ("passes", "00_check_environment"),
        ("fails", "index"),
        ("fails", "06_register_mcp_server"),
    ],
)
def test_everybody_can_read_it(
    runs: dict[str, Path], page: Page, run: str, name: str, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto((runs[run] / f"{name}.html").as_uri())
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_no_link_of_a_page_is_dead_and_its_picture_is_shown(
    runs: dict[str, Path], page: Page
) -> None:
    pages = [path for run in runs.values() for path in sorted(run.glob("*.html"))]
    assert len(pages) == 5
    for path in pages:
        page.goto(path.as_uri())
        links = page.locator("a").evaluate_all("all => all.map(one => one.href)")
        dead = [one for one in links if one.startswith("file:") and not _file(one).exists()]
        assert dead == [], path.name
        if path.stem != "index":
            drawn = page.locator("img").first
            assert drawn.evaluate("img => img.naturalWidth") > 0


def _file(url: str) -> Path:
    return Path(url.removeprefix("file://").partition("#")[0])
