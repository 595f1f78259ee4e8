"""What parts leave on this machine, and its removal."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from workshop.local.process import Process
from workshop.local.programs import DATA


def empty(folder: Path, *, data: bool) -> list[str]:
    """Remove what is in a control folder, the data too when ``data``; gives what was removed."""
    removed: list[str] = []
    if not folder.exists():
        return removed
    for entry in sorted(folder.iterdir()):
        if entry.name == DATA and not data:
            continue
        whole = entry.is_dir() and not entry.is_symlink()
        shutil.rmtree(entry) if whole else entry.unlink()
        removed.append(f"{folder.name}/{entry.name}")
    if not any(folder.iterdir()):
        folder.rmdir()
    return removed


def leftovers(processes: Iterable[Process]) -> list[str]:
    """Processes that still run, and what is in their control folders besides kept data."""
    left = []
    for process in processes:
        name = process.folder.name
        if process.state() == "running":
            left.append(f"process {name}")
        if process.folder.exists():
            names = {entry.name for entry in process.folder.iterdir()} - {DATA}
            left.extend(f"{name}/{entry}" for entry in sorted(names))
    return left
