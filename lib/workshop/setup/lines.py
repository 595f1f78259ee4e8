"""How set-up shows its progress: one line per component, plain or redrawn by rich."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, override

if TYPE_CHECKING:
    from rich.progress import TaskID

EVERY = 10.0
"""Seconds between two plain lines of one component, so that a log shows life without noise."""
MB = 1_000_000


class Lines:
    """Plain lines: when a component begins something, ends, and every ten seconds between.

    ``write`` takes each; without it nothing is shown.
    """

    def __init__(self, write: Callable[[str], object] = lambda _line: None) -> None:
        self._write = write
        self._began: dict[str, float] = {}
        self._last: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def say(self, name: str, doing: str) -> None:
        """A component begins something, or something happened to it."""
        with self._lock:
            if self._last.get(name, ("",))[0] != doing:
                self._line(name, doing)

    def at(self, name: str, text: str = "", done: int = 0, total: int = 0) -> None:
        """How far it is: what the program says, or bytes. Called several times a second."""
        with self._lock:
            doing, shown = self._last.get(name, ("", 0.0))
            if time.monotonic() - shown >= EVERY:
                if total:
                    text = f"{done / MB:.0f} of {total / MB:.0f} MB, {100 * done // total} %"
                self._line(name, doing, f"  {text}" if text else "")

    def end(self, name: str, outcome: str) -> None:
        """A component is done, or gave up."""
        with self._lock:
            self._line(name, outcome)

    def close(self) -> None:
        """Nothing more will be shown."""

    def _line(self, name: str, doing: str, more: str = "") -> None:
        now = time.monotonic()
        self._last[name] = doing, now
        seconds = now - self._began.setdefault(name, now)
        self._write(f"{name:<17} {seconds:6.1f} s  {doing}{more}")


class Screen(Lines):
    """A terminal: every component's line is redrawn in place, with a bar."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        super().__init__()
        self._progress = Progress(
            TextColumn("{task.description:<17}", markup=False),
            BarColumn(bar_width=12),
            TimeElapsedColumn(),
            TextColumn("{task.fields[doing]}  {task.fields[text]}", markup=False),
            console=Console(stderr=True, highlight=False),
        )
        self._tasks: dict[str, TaskID] = {}

    @override
    def say(self, name: str, doing: str) -> None:
        self._update(name, doing=doing, text="", total=None)

    @override
    def at(self, name: str, text: str = "", done: int = 0, total: int = 0) -> None:
        if total:
            text = f"{done / MB:.0f} of {total / MB:.0f} MB"
        self._update(name, text=text, completed=done, total=total or None)

    @override
    def end(self, name: str, outcome: str) -> None:
        self._update(name, doing=outcome, text="", completed=1, total=1)
        self._progress.stop_task(self._tasks[name])

    @override
    def close(self) -> None:
        self._progress.stop()

    def _update(self, name: str, **what: object) -> None:
        if name not in self._tasks:
            self._progress.start()
            self._tasks[name] = self._progress.add_task(name, doing="", text="", total=None)
        self._progress.update(self._tasks[name], **what)  # type: ignore[arg-type]
