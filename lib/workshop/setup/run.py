"""Programs that set-up runs: uv, npm, go. Each in a process group that is ended as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from workshop.core.errors import LOG_LINES, SetupError
from workshop.setup import disk
from workshop.setup.context import Stopped

GRACE_SECONDS = 3.0
"""How long a program may take to end after TERM, before KILL."""
AFTER_KILL_SECONDS = 2.0
"""How long to wait for killed ones: in a container whose first process never asks for exit codes
they stay in their group for ever."""
POLL_SECONDS = 0.1


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    stop: threading.Event,
    what: str,
    hint: str,
    keep: Sequence[int] = (),
    live: Callable[[str], None] = lambda _text: None,
) -> str:
    """Run a program to its end; gives its output, which is also appended to ``log``.

    Args:
        argv: The program and its arguments.
        env: Its whole environment.
        cwd: Where it runs.
        log: A file that keeps the output of every run.
        stop: When set, the program and all that it started are ended.
        what: What failed when it fails, as a sentence without its full stop.
        hint: How to go on when it fails.
        keep: File descriptors that the program inherits.
        live: Told the last line of the output, while the program runs.

    Raises:
        SetupError: The program is not there, or ended with an error; with its last lines.
        Stopped: ``stop`` was set.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        sink.write(f"$ {' '.join(argv)}\n".encode())
        sink.flush()
        begin = sink.tell()
        try:
            child = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=keep,
            )
        except OSError as error:
            raise SetupError(f"{what}: {argv[0]} cannot be run: {error.strerror}.") from error
        code = _wait(child, stop, lambda: live(_last_line(log, begin)))
    with log.open("rb") as source:
        source.seek(begin)
        output = source.read().decode(errors="replace")
    if code != 0:
        raise _failed(what, output, log, cwd, code, hint)
    return output


def _wait(child: subprocess.Popen[bytes], stop: threading.Event, look: Callable[[], None]) -> int:
    try:
        while True:
            try:
                return child.wait(timeout=POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if stop.is_set():
                    raise Stopped from None
                look()
    finally:
        end(child)


def _last_line(log: Path, begin: int) -> str:
    with log.open("rb") as source:
        source.seek(max(begin, log.stat().st_size - 400))
        lines = source.read().decode(errors="replace").split("\n")
    return next((line.strip()[:60] for line in reversed(lines) if line.strip()), "")


def end(child: subprocess.Popen[bytes]) -> None:
    """End a program and everything that it started: TERM, then KILL; back when they are over."""
    if child.poll() is not None:
        return
    deadline = time.monotonic() + GRACE_SECONDS
    _signal(child.pid, signal.SIGTERM)
    try:
        child.wait(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        _signal(child.pid, signal.SIGKILL)
        child.wait()
    # What the program started may outlive it: the group still has its number. A killed process is
    # over when the kernel gets to it, and until then it may still write.
    deadline = time.monotonic() + AFTER_KILL_SECONDS
    while _signal(child.pid, signal.SIGKILL) and time.monotonic() < deadline:
        time.sleep(0.01)


def _signal(group: int, number: signal.Signals) -> bool:
    """Whether there was somebody to signal."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _failed(what: str, output: str, log: Path, cwd: Path, code: int, hint: str) -> SetupError:
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    said = output.lower()
    if any(words in said for words in disk.SAID_BY_PROGRAMS):
        error = disk.full(cwd)
        return SetupError(
            f"{what}: {error.what}", where=error.where, log=lines[-LOG_LINES:], hint=error.hint
        )
    return SetupError(
        f"{what}.",
        where=str(log),
        state=f"exit code {code}",
        log=lines[-LOG_LINES:],
        hint=hint,
    )
