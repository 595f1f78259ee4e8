"""A checkout with one part more than the kit has: three files, and one line in its catalogue."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from workshop.core.settings import CHECKOUT

HERE = Path(__file__).parent
MEMCACHED = HERE / "memcached.py"
FILES = sorted(path.relative_to(HERE) for path in (HERE / "lib").rglob("*.py"))
CATALOG = "lib/workshop/parts/catalog.py"
LINE, BEFORE = '    "cache",\n', '    "prometheus",\n'
"""Prometheus is the last: it reads the page of every other part."""


def made(folder: Path) -> Path:
    """Make it; gives the folder."""
    for name in ("lib", "manifests"):
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / name, folder / name, ignore=left_out)
    for path in FILES:
        assert not (folder / path).exists()
        shutil.copyfile(HERE / path, folder / path)
    catalog = (folder / CATALOG).read_text("utf-8")
    assert catalog.count(BEFORE) == 1
    (folder / CATALOG).write_text(catalog.replace(BEFORE, LINE + BEFORE), "utf-8")
    # What set-up would install.
    (folder / "software").mkdir()
    shutil.copyfile(MEMCACHED, folder / "software" / MEMCACHED.name)
    return folder


def python(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the library of this checkout.

    Its folder comes first because it is the working folder: PYTHONPATH is kept out of the kit.
    """
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder / "lib",
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def workshop(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this checkout, as a person does."""
    return python(folder, "-m", "workshop.cli", *words, **env)
