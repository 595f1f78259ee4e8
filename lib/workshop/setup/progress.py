"""How set-up shows its progress: one line a component."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TextIO

EVERY = 10.0
"""Seconds between two plain lines of one component, so that a log shows life without noise."""

NOTE_SECONDS = 8.0
"""How long a terminal shows a note beside what the component does."""

MB = 1_000_000


@dataclass
class Row:
    """The state of one component. ``done`` and ``total`` are bytes; total 0: not measurable."""

    name: str
    doing: str = "waiting"
    detail: str = ""
    done: int = 0
    total: int = 0
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    shown: float = 0.0
    rate_from: tuple[float, int] | None = None
    note: tuple[str, float] = ("", 0.0)

    @property
    def seconds(self) -> float:
        """How long the component has been worked on, or took."""
        return (self.ended or time.monotonic()) - self.began

    def text(self, width: int) -> str:
        """The line: name, seconds, what it does, how far it is, how long it will take."""
        amount = f"  {self.detail}" if self.detail and self.ended is None else ""
        if self.total and self.ended is None:
            percent = min(100, 100 * self.done // self.total)
            amount = f"  {self.done / MB:.0f} of {self.total / MB:.0f} MB, {percent} %{self.eta()}"
        text, since = self.note
        noted = f"  ({text})" if time.monotonic() - since < NOTE_SECONDS else ""
        return f"{self.name:<{width}} {self.seconds:6.1f} s  {self.doing}{amount}{noted}"

    def eta(self) -> str:
        """How long the rest will take at the speed so far, when that can be said."""
        if self.rate_from is None or self.done >= self.total:
            return ""
        passed, moved = time.monotonic() - self.rate_from[0], self.done - self.rate_from[1]
        if passed < 2 or moved <= 0:
            return ""
        return f", about {(self.total - self.done) * passed / moved:.0f} s left"


class Board(Protocol):
    """Where progress goes."""

    def say(self, name: str, doing: str) -> None:
        """A component begins something."""

    def note(self, name: str, text: str) -> None:
        """Something happened to a component that goes on with what it does."""

    def detail(self, name: str, text: str) -> None:
        """What the program that does the work says it is at."""

    def measure(self, name: str, done: int, total: int) -> None:
        """How many bytes of the present work are done."""

    def end(self, name: str, outcome: str) -> None:
        """A component is done, or gave up."""

    def tick(self) -> None:
        """Called several times a second, to bring what is shown up to date."""


class Lines:
    """Plain lines: when a component begins something, ends, and every ten seconds between."""

    keeps_notes = False

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._rows: dict[str, Row] = {}
        self._lock = threading.RLock()
        self._width = 17

    def _row(self, name: str) -> Row:
        return self._rows.setdefault(name, Row(name))

    def say(self, name: str, doing: str) -> None:
        """Show that a component begins something."""
        with self._lock:
            row = self._row(name)
            if row.doing == doing:
                return
            row.doing, row.detail, row.done, row.total, row.rate_from = doing, "", 0, 0, None
            self._show(row)

    def note(self, name: str, text: str) -> None:
        """Show what happened."""
        with self._lock:
            row = self._row(name)
            row.note = (text, time.monotonic())
            self._show(row)
            if not self.keeps_notes:
                row.note = ("", 0.0)

    def detail(self, name: str, text: str) -> None:
        """Take what the program says; shown with the next line."""
        with self._lock:
            self._row(name).detail = text

    def measure(self, name: str, done: int, total: int) -> None:
        """Note how many bytes are done."""
        with self._lock:
            row = self._row(name)
            row.done, row.total = done, total
            if row.rate_from is None:
                row.rate_from = (time.monotonic(), done)

    def end(self, name: str, outcome: str) -> None:
        """Show that a component is done, or gave up."""
        with self._lock:
            row = self._row(name)
            row.doing, row.ended = outcome, time.monotonic()
            self._show(row)

    def tick(self) -> None:
        """Show every component of which nothing was shown for a while."""
        with self._lock:
            now = time.monotonic()
            for row in self._rows.values():
                if row.ended is None and now - row.shown >= EVERY:
                    self._show(row)

    def _show(self, row: Row) -> None:
        row.shown = time.monotonic()
        self._write(row.text(self._width))


class Screen(Lines):
    """A terminal: every component's line is redrawn in place."""

    keeps_notes = True

    def __init__(self, stream: TextIO, columns: int) -> None:
        super().__init__(lambda _text: None)
        self._stream = stream
        self._columns = columns
        self._drawn = 0
        self._last = 0.0

    def _show(self, row: Row) -> None:
        row.shown = time.monotonic()
        self._draw()

    def tick(self) -> None:
        """Redraw, at most five times a second."""
        with self._lock:
            if time.monotonic() - self._last > 0.2:
                self._draw()

    def _draw(self) -> None:
        self._last = time.monotonic()
        up = f"\x1b[{self._drawn}F" if self._drawn else ""
        rows = [row.text(self._width)[: self._columns - 1] for row in self._rows.values()]
        self._stream.write(up + "".join(f"\x1b[K{text}\n" for text in rows))
        self._stream.flush()
        self._drawn = len(rows)


class Silent(Lines):
    """Shows nothing: ``--quiet``."""

    def __init__(self) -> None:
        super().__init__(lambda _text: None)
