"""The installation of one component: its lock, its line of progress, the programs that it runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workshop.core.errors import LOG_LINES, SetupError
from workshop.setup import disk
from workshop.setup.context import Context, Stopped
from workshop.setup.lines import Board

UV_CACHE = "uv-cache"
CACHES = {
    "UV_CACHE_DIR": UV_CACHE,
    "npm_config_cache": "npm-cache",
    "GOMODCACHE": "go-modules",
    "GOCACHE": "go-build",
}
"""The variable and the folder for each program: WORKSHOP_CACHE alone moves them all."""

ASK_SECONDS = 10.0
GRACE_SECONDS = 3.0
"""How long a program may take to end after TERM, before KILL."""
AFTER_KILL_SECONDS = 2.0
"""How long to wait for killed ones: in a container whose first process never asks for exit codes
they stay in their group for ever."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Job:
    """One component that is being installed. ``lock`` is inherited by every program it runs."""

    context: Context
    name: str
    board: Board
    lock: int

    def say(self, doing: str) -> None:
        """Show what is being done."""
        self.context.check()
        self.board.say(self.name, doing)

    def measure(self, done: int, total: int) -> None:
        """Show how many bytes of it are done."""
        self.context.check()
        self.board.at(self.name, done=done, total=total)

    def folder(self, *names: str) -> Path:
        """A folder in the cache, made when it is not there."""
        path = self.context.writable.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def on_path(self, program: str, minimum: str, *ask: str) -> tuple[Path, str] | None:
        """The program on PATH and its version, when it really runs and is at least ``minimum``.

        Args:
            program: Its name, or its path.
            minimum: For example ``"22.13"``.
            ask: The arguments that make it print its version.

        Returns:
            None when it is not there, does not run (a version manager's shim may not), or is old.
        """
        path = shutil.which(program, path=self.context.env.get("PATH", ""))
        if path is None:
            return None
        try:
            said = subprocess.run(
                [path, *ask],
                env={**self.context.env, "GOTOOLCHAIN": "local"},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=ASK_SECONDS,
                check=True,
                stdin=subprocess.DEVNULL,
            ).stdout
        except (OSError, subprocess.SubprocessError):
            return None
        found = re.search(r"\d+(?:\.\d+)+", said)
        if found is None or number(found.group()) < number(minimum):
            return None
        return Path(path), found.group()

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path,
        what: str,
        env: Mapping[str, str] | None = None,
        hint: str = "check the network, then run set-up again",
        look: Callable[[], None] | None = None,
    ) -> str:
        """Run a program to its end; gives its output, which is also kept in the component's log.

        Args:
            argv: The program and its arguments.
            cwd: Where it runs.
            what: What failed when it fails, as a sentence without its full stop.
            env: Added to the context's environment.
            hint: How to go on when it fails.
            look: Called several times a second; else the last line of the output is shown.

        Raises:
            SetupError: The program is not there, or ended with an error; with its last lines.
            Stopped: ``context.stop`` was set: the program and all that it started are ended.
        """
        words = [str(word) for word in argv]
        log = self.folder("logs") / f"{self.name}.log"
        given = self.context.env
        caches = {
            name: str(self.context.writable / folder)
            for name, folder in CACHES.items()
            if not given.get(name) and not given.get(name.upper())
        }
        with log.open("ab") as sink:
            sink.write(f"$ {' '.join(words)}\n".encode())
            sink.flush()
            begin = sink.tell()
            try:
                child = subprocess.Popen(
                    words,
                    env={**given, "PYTHONPATH": "", **caches, **(env or {})},
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(self.lock,),
                )
            except OSError as error:
                raise SetupError(f"{what}: {words[0]} cannot be run: {error.strerror}.") from error
            shown = look or (lambda: self.board.at(self.name, _last_line(log, begin)))
            code = self._ended(child, shown)
        output = log.read_bytes()[begin:].decode(errors="replace")
        if code != 0:
            raise _failed(what, output, log, cwd, code, hint)
        return output

    def _ended(self, child: subprocess.Popen[bytes], look: Callable[[], None]) -> int:
        try:
            while True:
                try:
                    return child.wait(timeout=POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    self.context.check()
                    look()
        finally:
            end(child)


def number(version: str) -> tuple[int, ...]:
    """A version as numbers that compare.

    Example:
        >>> number("22.13") <= number("22.13.1") < number("24.0")
        True
    """
    return tuple(int(part) for part in version.split("."))


@contextlib.contextmanager
def locked(context: Context, name: str, say: Callable[[str], None]) -> Iterator[int]:
    """Hold a component's lock; while another set-up has it, say which one and wait.

    Gives the lock's file descriptor. A program that inherits it holds the lock too: when set-up
    is killed in the middle, the next one waits until the npm or go that it left has ended.

    Raises:
        Stopped: ``context.stop`` was set while waiting.
    """
    path = context.writable / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = path.read_text().strip() or "unknown"
                say(f"another set-up (pid {holder}) is installing {name}; waiting")
            if context.stop.wait(POLL_SECONDS):
                raise Stopped
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield handle
    finally:
        os.close(handle)


def end(child: subprocess.Popen[bytes]) -> None:
    """End a program and everything that it started: TERM, then KILL; back when they are over."""
    if child.poll() is not None:
        return
    _signal(child.pid, signal.SIGTERM)
    try:
        child.wait(timeout=GRACE_SECONDS)
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


def _last_line(log: Path, begin: int) -> str:
    with log.open("rb") as source:
        source.seek(max(begin, log.stat().st_size - 400))
        lines = source.read().decode(errors="replace").split("\n")
    return next((line.strip()[:60] for line in reversed(lines) if line.strip()), "")


def _failed(what: str, output: str, log: Path, cwd: Path, code: int, hint: str) -> SetupError:
    lines = [line.rstrip() for line in output.splitlines() if line.strip()][-LOG_LINES:]
    if any(words in output.lower() for words in disk.SAID_BY_PROGRAMS):
        error = disk.full(cwd)
        return SetupError(f"{what}: {error.what}", where=error.where, log=lines, hint=error.hint)
    return SetupError(f"{what}.", where=str(log), state=f"exit code {code}", log=lines, hint=hint)
