"""What people look at, in a real browser; skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from jupyter_lab import Lab, shown, started
from playwright.sync_api import Page
from workshop.core.settings import CHECKOUT


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    with shown(request.node.name) as page:
        yield page


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Opened notebooks are saved: so they are a copy. The kit is the checkout's."""
    folder = tmp_path_factory.mktemp("lab")
    for name in ("notebooks", "docs", "README.md", "data"):
        source = CHECKOUT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    with started(folder, tmp_path_factory.mktemp("home")) as lab:
        yield lab
