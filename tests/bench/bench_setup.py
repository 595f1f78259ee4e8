"""Measures (d): a fresh set-up with empty caches against its slowest single part alone.

Everything is downloaded and built again, into folders that are removed afterwards: a fresh clone,
an empty cache of the kit, and empty caches of uv, npm and go. Prints one JSON object and keeps it
in ``bench-results/setup.json``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 2.0
CANDIDATES = 3
"""How many of the parts that took longest in the whole set-up are measured alone."""


@contextmanager
def empty_caches() -> Iterator[dict[str, str]]:
    """Environment variables that point every cache at an empty folder, removed in the end."""
    with tempfile.TemporaryDirectory(prefix="bench-setup-") as folder:
        base = Path(folder)
        yield {
            **os.environ,
            "WORKSHOP_CACHE": str(base / "kit"),
            "UV_CACHE_DIR": str(base / "uv"),
            "npm_config_cache": str(base / "npm"),
            "GOMODCACHE": str(base / "go-mod"),
            "GOCACHE": str(base / "go-build"),
            "GOFLAGS": "-modcacherw",
        }


@contextmanager
def clone() -> Iterator[Path]:
    """A fresh clone of this checkout's last commit."""
    with tempfile.TemporaryDirectory(prefix="bench-clone-") as folder:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), folder], check=True)
        yield Path(folder)


def timed(checkout: Path, env: dict[str, str], *words: str) -> tuple[float, str]:
    """The seconds that set-up took, and what it printed."""
    began = time.monotonic()
    done = subprocess.run(
        [checkout / "bootstrap", *words], env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    return time.monotonic() - began, done.stdout


def parts(summary: str) -> list[str]:
    """The components of a summary, the slowest first."""
    rows = re.findall(r"^  ([a-z-]+) +([\d.]+) s ", summary, flags=re.MULTILINE)
    return [name for name, _seconds in sorted(rows, key=lambda row: -float(row[1]))]


def main() -> int:
    """Measure, print and keep; gives 1 when the ratio is over its limit."""
    load = os.getloadavg()[0]
    with empty_caches() as env, clone() as first, clone() as second:
        whole, summary = timed(first, env)
        again, _ = timed(second, env)
    alone = {}
    for name in parts(summary)[:CANDIDATES]:
        with empty_caches() as env, clone() as checkout:
            alone[name], _ = timed(checkout, env, "--only", name)
    slowest = max(alone, key=lambda name: alone[name])
    figures = {
        "name": "fresh set-up against its slowest part alone",
        "seconds": round(whole, 1),
        "ratio": round(whole / alone[slowest], 2),
        "limit": LIMIT,
        "slowest": slowest,
        "alone": {name: round(seconds, 1) for name, seconds in alone.items()},
        "second_clone_seconds": round(again, 1),
        "processors": os.cpu_count(),
        "load_before": round(load, 1),
    }
    text = json.dumps(figures)
    sys.stdout.write(text + "\n")
    folder = ROOT / "bench-results"
    folder.mkdir(exist_ok=True)
    (folder / "setup.json").write_text(text + "\n")
    return 0 if figures["ratio"] <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
