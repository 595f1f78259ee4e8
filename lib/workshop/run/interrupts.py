"""Ctrl-C in a run: the first one ends the step that runs, the second one its kernel."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from workshop.run.kernels import Kernel

INTERRUPTED = "interrupted"
"""The reason of a step that was, and of those after it."""


class Interrupts:
    """Passes a run's signals to the kernel whose notebook runs.

    Args:
        say: Tells the user what the first one does.

    Attributes:
        happened: Whether one came during the run.
        count: How many came since the step began, which sets it to 0.
        kernel: What they end; None between two steps, where the runner asks ``happened``.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.happened = False
        self.count = 0
        self.kernel: Kernel | None = None
        self._say = say

    def __enter__(self) -> Self:
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._came) for number in numbers}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _came(self, _number: int, _frame: FrameType | None) -> None:
        self.happened = True
        self.count += 1
        if self.count == 1:
            self._say("stopping: Ctrl-C again ends it at once")
        if self.kernel is not None:
            self.kernel.signal(signal.SIGINT if self.count == 1 else signal.SIGKILL)
        elif self.count > 1:
            raise KeyboardInterrupt
