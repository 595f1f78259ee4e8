"""The installation of one component: its lock, its progress, its programs, and the disk."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workshop.core.errors import LOG_LINES, SetupError
from workshop.core.files import FULL, amount, nearest
from workshop.setup.components import Context, Stopped
from workshop.setup.lines import Lines

CACHES = {
    "UV_CACHE_DIR": "uv-cache",
    "npm_config_cache": "npm-cache",
    "GOMODCACHE": "go-modules",
    "GOCACHE": "go-build",
}
"""The variable and the folder for each program: WORKSHOP_CACHE alone moves them all."""
TOLD = {
    "PYTHONPATH": "",
    "VIRTUAL_ENV": "",
    "UV_PROJECT_ENVIRONMENT": "",
    "UV_NO_PROGRESS": "1",
    # Neither should download another of itself.
    "UV_PYTHON_DOWNLOADS": "never",
    "GOTOOLCHAIN": "local",
}
"""What every program is told by environment variables."""
DISK_IS_FULL = ("no space left on device", "disk quota exceeded", "enospc")
"""What programs say then."""

CHECK_NETWORK = "check the network, then run set-up again"

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
    lines: Lines
    lock: int

    @property
    def env(self) -> dict[str, str]:
        """The environment of every program that is run."""
        given, index = self.context.env, self.context.index
        caches = {
            name: str(self.context.cache / folder)
            for name, folder in CACHES.items()
            if not given.get(name) and not given.get(name.upper())
        }
        return {**given, **TOLD, **caches, **({"UV_DEFAULT_INDEX": index} if index else {})}

    def say(self, doing: str) -> None:
        """Show what is being done."""
        self.context.check()
        self.lines.say(self.name, doing)

    def measure(self, done: int, total: int) -> None:
        """Show how many bytes of it are done."""
        self.context.check()
        self.lines.at(self.name, done=done, total=total)

    def folder(self, *names: str) -> Path:
        """A folder in the cache, made when it is not there."""
        path = self.context.cache.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def on_path(self, program: str, minimum: str, *ask: str) -> tuple[Path, str] | None:
        """The program on PATH, or at a path, and its version; ``ask`` makes it print that.

        None when it is not there, does not run (a version manager's shim may not), or is older
        than ``minimum``, such as ``"22.13"``.
        """
        path = shutil.which(program, path=self.context.env.get("PATH", ""))
        said = output([path, *ask], self.env) if path else ""
        found = re.search(r"\d+(?:\.\d+)+", said)
        if path is None or found is None or number(found.group()) < number(minimum):
            return None
        return Path(path), found.group()

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        what: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        hint: str = CHECK_NETWORK,
        look: Callable[[], None] | None = None,
    ) -> str:
        """Run a program to its end; gives its output, which is also kept in the component's log.

        It runs in ``cwd``, else in the cache, with ``env`` added to the job's. ``look`` is called
        several times a second; else the last line of the output is shown.

        Raises ``SetupError`` where it is not there, or ended with an error, with its last lines:
        ``what`` failed, a sentence without its full stop, and the ``hint`` how to go on. Raises
        ``Stopped`` where ``context.stop`` was set: the program and all that it started are ended.
        """
        words, cwd = [str(word) for word in argv], cwd or self.context.cache
        log = self.folder("logs") / f"{self.name}.log"
        with log.open("ab") as sink:
            sink.write(f"$ {' '.join(words)}\n".encode())
            sink.flush()
            begin = sink.tell()
            try:
                child = subprocess.Popen(
                    words,
                    env={**self.env, **(env or {})},
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(self.lock,),
                )
            except OSError as error:
                raise SetupError(f"{what}: {words[0]} cannot be run: {error.strerror}.") from error
            shown = look or (lambda: self.lines.at(self.name, _last_line(log, begin)))
            try:
                while child.poll() is None:
                    self.context.check()
                    shown()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(POLL_SECONDS)
            finally:
                _end(child)
        said = log.read_bytes()[begin:].decode(errors="replace")
        if child.returncode != 0:
            raise _failed(what, said, log, cwd, child.returncode, hint)
        return said


@contextlib.contextmanager
def alone(context: Context, name: str, lines: Lines) -> Iterator[Job]:
    """The job of a component, under its lock; while another set-up has it, say which, and wait.

    A program that inherits the lock holds it too: when set-up is killed in the middle, the next
    one waits until the npm or go that it left has ended. Raises ``SetupError`` where the disk
    became full: nothing is removed, and the next set-up goes on from here. Raises ``Stopped`` where
    ``context.stop`` was set while waiting.
    """
    path = context.cache / "locks" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with path.open("r+") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    holder = path.read_text().strip() or "unknown"
                    lines.say(name, f"another set-up (pid {holder}) is installing {name}; waiting")
                if context.stop.wait(POLL_SECONDS):
                    raise Stopped
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield Job(context, name, lines, lock.fileno())
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise full(context.cache) from error


def closed(folder: Path) -> str:
    """Why nothing can be written to this folder, which is made if need be; empty when it can be.

    A full disk is another trouble, and is told when it is met.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return "" if error.errno in FULL else f"{error.strerror}: {error.filename}"
    return ""


def free_space(folder: Path) -> int:
    """Bytes that are free on the disk where a folder is, or will be."""
    return shutil.disk_usage(nearest(folder)).free


def full(folder: Path) -> SetupError:
    """The error for a disk that became full while something was written to this folder."""
    return SetupError(
        f"The disk is full: {amount(free_space(folder))} is free.",
        where=str(folder),
        hint="free some space, or set WORKSHOP_CACHE to a folder on a larger disk, and run set-up "
        "again: it goes on where it stopped",
    )


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def copy_writable(
    source: Path, target: Path, copy: Callable[[str, str], object] = shutil.copyfile
) -> None:
    """Copy a folder whose files and folders may be read-only; links in it stay links."""
    shutil.copytree(source, target, symlinks=True, copy_function=copy, dirs_exist_ok=True)
    for folder, _folders, _files in os.walk(target):
        Path(folder).chmod(stat.S_IRWXU)


def output(argv: Sequence[str], env: Mapping[str, str]) -> str:
    """What a program prints that is asked something; empty when it does not run."""
    try:
        return subprocess.run(
            argv,
            env=env,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ASK_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def number(version: str) -> tuple[int, ...]:
    """A version as numbers that compare.

    Example:
        >>> number("22.13") <= number("22.13.1") < number("24.0")
        True
    """
    return tuple(int(part) for part in version.split("."))


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a program and everything that it started: TERM, then KILL; back when they are over."""
    if child.poll() is not None:
        return
    # Until nobody is left: what it started may outlive it in its group, and a killed process is
    # over when the kernel gets to it, and until then it may still write.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
        deadline = time.monotonic() + AFTER_KILL_SECONDS
        while time.monotonic() < deadline:
            os.killpg(child.pid, signal.SIGKILL)
            child.poll()
            time.sleep(0.01)


def _last_line(log: Path, begin: int) -> str:
    with log.open("rb") as source:
        source.seek(max(begin, log.stat().st_size - 400))
        lines = source.read().decode(errors="replace").split("\n")
    return next((line.strip()[:60] for line in reversed(lines) if line.strip()), "")


def _failed(what: str, said: str, log: Path, cwd: Path, code: int, hint: str) -> SetupError:
    lines = [line.rstrip() for line in said.splitlines() if line.strip()][-LOG_LINES:]
    if any(words in said.lower() for words in DISK_IS_FULL):
        error = full(cwd)
        return SetupError(f"{what}: {error.what}", where=error.where, log=lines, hint=error.hint)
    return SetupError(f"{what}.", where=str(log), state=f"exit code {code}", log=lines, hint=hint)
