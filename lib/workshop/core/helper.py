"""A process of the kit's own that works beside the run; both speak JSON, one object a line."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any, cast


class Helper:
    """Starts ``python -m module``, sends it requests, and hears its answers in a thread.

    Args:
        module: What to run. It ends when its stdin ends.
        flags: Its arguments.
        hear: Gets each answer.
        gone: Called once, after the last answer.
    """

    def __init__(
        self,
        module: str,
        *flags: str,
        hear: Callable[[Any], None],
        gone: Callable[[], None] = lambda: None,
    ) -> None:
        self._process = subprocess.Popen(
            # -P: a file in the folder where the command was given must not shadow a module.
            [sys.executable, "-P", "-W", "ignore", "-m", module, *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # Ctrl-C in the terminal is the runner's to handle.
            start_new_session=True,
        )
        self._requests = cast("IO[str]", self._process.stdin)
        self._answers = cast("IO[str]", self._process.stdout)
        self._hear, self._gone = hear, gone
        self._reader = threading.Thread(target=self._read, daemon=True, name=module)
        self._reader.start()

    def send(self, request: object) -> None:
        """Send a request. One that is gone hears nothing: ``gone`` was called."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()

    def finish(self, timeout: float) -> None:
        """Say that there are no more requests, and wait for the last answer."""
        self._no_more()
        self._reader.join(timeout)

    def close(self, *, at_once: bool = False) -> None:
        """Wait until it has ended; ``at_once``: whatever it is doing."""
        self._no_more()
        if at_once:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        self._answers.close()

    def _no_more(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()

    def _read(self) -> None:
        for line in self._answers:
            self._hear(json.loads(line))
        self._gone()
