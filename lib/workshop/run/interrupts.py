"""Ctrl-C in a run: the first one ends the step that runs, the second one its kernel."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruptible(Protocol):
    """What a signal ends: a kernel."""

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in what it does."""

    def kill(self) -> None:
        """End it at once."""


class Interrupts:
    """Passes a run's signals to the kernel whose notebook runs.

    Args:
        say: Tells the user what the first one does.

    Attributes:
        happened: Whether one came.
        kernel: What it ends; None between two steps, where the runner asks ``happened``.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.happened = False
        self.kernel: Interruptible | None = None
        self._say = say
        self._count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._came)
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def again(self) -> None:
        """Begin a step: the next signal is its first, also after an interrupted one."""
        self._count = 0

    def _came(self, _number: int, _frame: FrameType | None) -> None:
        self.happened = True
        self._count += 1
        if self._count == 1:
            self._say("stopping: Ctrl-C again ends it at once")
            if self.kernel is not None:
                self.kernel.interrupt()
        elif self.kernel is not None:
            self.kernel.kill()
        else:
            raise KeyboardInterrupt
