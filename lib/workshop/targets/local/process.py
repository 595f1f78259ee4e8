"""A process that outlives the notebook which started it, and is found again by the next one.

Everything about it stands in a control folder: ``process.json`` (which process it is), ``log`` and
``log.1`` (what it and its predecessor wrote). Both hold no credential that the kit put there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal

import psutil

from workshop.core import files
from workshop.core.errors import AlreadyRunning, PartFailed, WorkshopError
from workshop.core.lock import turn
from workshop.core.secret import Secret, mask
from workshop.targets.local import log, place, tree

INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE"),
    *("TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
)
"""What every part sees of this environment, and does not depend on. The rest stays out: it differs
from shell to shell, and a part must not depend on, or log, what somebody happens to have exported.
"""


@dataclass(frozen=True)
class Command:
    """How a part's software is run.

    Args:
        argv: Program and arguments; everybody on the machine can read them.
        env: Added to the inherited base; may hold secrets, and is never written to disk.
        cwd: The folder in which it runs.
        ports: The ports that it listens on, by name; ``main`` first.
        secrets: What must not stand in ``argv``.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: Path
    ports: Mapping[str, int]
    secrets: tuple[Secret, ...] = ()


def inherited() -> dict[str, str]:
    """The part of this process's environment that a part's software sees."""
    return exported(*INHERITED)


def exported(*names: str) -> dict[str, str]:
    """These variables, as far as they are set.

    One on which a part depends goes into the ``env`` of its command: a change then restarts it.
    """
    return {name: os.environ[name] for name in names if name in os.environ}


def refuse_secrets(command: Command) -> None:
    """Make sure that the command line, which everybody can read, holds none of its secrets.

    Raises:
        ValueError: It does; the text names the argument by its place, not by its content.
    """
    for number, argument in enumerate(command.argv):
        for secret in command.secrets:
            value = secret.reveal()
            # A short one, such as a user's own "test", may stand in a path by chance.
            pieces = {argument, argument.partition("=")[2]}
            if value in pieces or (len(value) >= 8 and value in argument):
                raise ValueError(
                    f"argument {number} of the command line holds a secret: hand it over in env"
                )


__all__ = ["Command", "Process", "Record", "Status"]

Status = Literal["running", "ended", "stranger", "absent"]
"""What ``process.json`` and the machine say together.

``ended``: it was started and is gone. ``stranger``: it is gone, and its pid was given to another
program. ``absent``: it was never started, or it was stopped.
"""

CLOCK_TOLERANCE = 2.0
"""Seconds by which a start time may differ between two readings of the same process: systems
derive it from the boot time, which moves with the clock."""


@dataclass(frozen=True)
class Record:
    """What ``process.json`` says: which process was started, and how.

    ``create_time`` is in seconds since the epoch, ``started`` the same as ISO 8601 with the offset
    to UTC; ``env`` holds names only. ``exit_code`` is what the process ended with (negative: the
    signal that ended it), None while it runs or when nobody could see it.
    """

    pid: int
    create_time: float
    argv: list[str]
    env: list[str]
    cwd: str
    ports: dict[str, int]
    fingerprint: str
    started: str
    exit_code: int | None = None


class Process:
    """One part's process, by its control folder.

    Args:
        folder: The control folder; made at the first start.
        name: The part's name, for errors.
        secrets: Gives what is masked in every line of the log that is read through this object.

    Example:
        >>> Process(Path("/nowhere/mongodb"), "mongodb").state()
        'absent'
    """

    def __init__(
        self, folder: Path, name: str, *, secrets: Callable[[], Iterable[Secret]] = tuple
    ) -> None:
        self.folder = folder.resolve()
        self.name = name
        self.log_path = self.folder / "log"
        self._record_path = self.folder / "process.json"
        self._secrets = secrets

    def start(self, command: Command, *, fingerprint: str) -> None:
        """Start it, in a session of its own, with its output in the log.

        Leaves a recorded running process or nothing, whatever interrupts it. What an earlier
        process of this folder left running is ended first: it may hold a port or a file.

        Args:
            command: What to run.
            fingerprint: Kept in the record, so that a later ``ensure`` sees changed settings.

        Raises:
            ValueError: A secret stands in the command line.
            AlreadyRunning: It runs already.
            PartFailed: The program is not there or cannot be run.
            WorkshopError: The control folder cannot be written, or is damaged.
        """
        refuse_secrets(command)
        place.settle(self.folder.parent)
        # Two notebooks may be run at once: the second one then finds what the first has started.
        with turn(self.folder / "turn"):
            self._start(command, fingerprint)

    def _start(self, command: Command, fingerprint: str) -> None:
        if self.state() == "running":
            raise AlreadyRunning(
                f"{self.name} runs already.",
                where=str(self.folder),
                state=self.describe(),
                hint=f"workshop stop {self.name}",
            )
        self.stop()
        try:
            log.begin(self.log_path, command.argv)
        except OSError as error:
            raise files.not_written(self.log_path, error) from error
        with held_back():
            pid = self._spawn(command)
            try:
                self._write(_record_of(pid, command, fingerprint))
            except BaseException:
                self.stop(grace=0)
                raise

    def state(self) -> Status:
        """What has become of it; asks the machine, and signals nothing.

        Raises:
            WorkshopError: ``process.json`` is damaged.
        """
        record = self._fresh_record()
        if record is None:
            return "absent"
        if record.exit_code is not None:
            return "ended"
        try:
            process = psutil.Process(record.pid)
            if tree.is_over(process):
                return "ended"
            return "running" if self._is_ours(process, record) else "stranger"
        except psutil.NoSuchProcess:
            return "ended"

    def describe(self) -> str:
        """The state in words, for a table or an error: ``running (pid 123)``."""
        state, record = self.state(), self.record()
        if record is None:
            return "not started"
        if state == "running":
            return f"running (pid {record.pid})"
        if state == "stranger":
            return f"ended; its pid {record.pid} now belongs to another program"
        if record.exit_code is None:
            return "ended"
        if record.exit_code < 0:
            return f"killed by {signal.Signals(-record.exit_code).name}"
        return f"ended with exit code {record.exit_code}"

    def record(self) -> Record | None:
        """What ``process.json`` says, or None when there is none.

        Raises:
            WorkshopError: It is damaged.
        """
        hint = f"workshop stop {self.name}"
        content = files.read_json(self._record_path, hint=hint)
        if content is None:
            return None
        try:
            record = Record(**{name.name: content[name.name] for name in fields(Record)})
            int(record.pid), float(record.create_time), dict(record.ports)
        except (KeyError, TypeError, ValueError) as error:
            raise files.damaged(self._record_path, f"not as written: {error}", hint=hint) from None
        return record

    def stop(self, *, grace: float = 10.0, forget: bool = True) -> bool:
        """End it and all that it started: SIGTERM, leaves first, and SIGKILL after ``grace`` s.

        Needs no readable record: the processes carry this folder's name in their environment. A
        stranger that was given the pid is never signalled.

        Args:
            grace: Seconds between the two signals.
            forget: Whether its record goes too; kept, its next start takes the same ports.

        Returns:
            Whether there was something to stop.

        Raises:
            PartTooSlow: A process is there even after SIGKILL.
        """
        ended = tree.end(self._family, grace)
        record = self._readable_record()
        pids = {process.pid for process in ended} | ({record.pid} if record else set())
        for pid in pids:
            exit_code(pid)
        if forget:
            self._record_path.unlink(missing_ok=True)
        return bool(ended)

    def log_tail(self, lines: int = 12) -> list[str]:
        """The last lines of the log, oldest first, without secrets and colours."""
        secrets = tuple(self._secrets())
        return [mask(line, secrets) for line in log.tail(self.log_path, lines)]

    def follow(self, *, lines: int = 100) -> Iterator[str]:
        """The last lines, then each further one, until interrupted; goes on over a restart."""
        for line in log.follow(self.log_path, lines):
            yield mask(line, self._secrets())

    def _spawn(self, command: Command) -> int:
        environment = inherited() | dict(command.env) | {tree.MARKER: str(self.folder)}
        try:
            with log.open_to_append(self.log_path) as output:
                return spawn(command.argv, command.cwd, environment, output)
        except OSError as error:
            raise PartFailed(
                f"{self.name} could not be started.",
                where=command.argv[0],
                state=f"{error.filename or command.argv[0]}: {error.strerror}",
                hint="make setup",
            ) from error

    def _family(self) -> list[psutil.Process]:
        return tree.family(self._roots(), str(self.folder))

    def _roots(self) -> list[psutil.Process]:
        record = self._readable_record()
        try:
            process = psutil.Process(record.pid) if record else None
            return [process] if record and process and self._is_ours(process, record) else []
        except psutil.NoSuchProcess:
            return []

    def _readable_record(self) -> Record | None:
        try:
            return self.record()
        except WorkshopError:
            return None

    def _is_ours(self, process: psutil.Process, record: Record) -> bool:
        # The marker tells whose it is: in a copied folder the record is of another folder's part.
        # Where it cannot be read, the start time does, which jumps when a machine has slept.
        mark = tree.mark_of(process)
        if mark is not None:
            return mark == str(self.folder)
        return abs(process.create_time() - record.create_time) <= CLOCK_TOLERANCE

    def _fresh_record(self) -> Record | None:
        """The record, after taking note of the exit code if the process was our child."""
        record = self.record()
        code = exit_code(record.pid) if record else None
        if record is None or code is None:
            return record
        record = replace(record, exit_code=code)
        # On a full disk the code is known here and now alone; that it has ended, everybody sees.
        with suppress(WorkshopError):
            self._write(record)
        return record

    def _write(self, record: Record) -> None:
        files.write_json(self._record_path, asdict(record))


def _record_of(pid: int, command: Command, fingerprint: str) -> Record:
    try:
        created = psutil.Process(pid).create_time()
    except psutil.Error:
        # It has ended already, and some systems forget a zombie's start time.
        created = time.time()
    return Record(
        pid=pid,
        create_time=created,
        argv=list(command.argv),
        env=sorted(command.env),
        cwd=str(command.cwd),
        ports=dict(command.ports),
        fingerprint=fingerprint,
        started=datetime.fromtimestamp(created).astimezone().isoformat(timespec="seconds"),
    )


# Those whose exit code was not asked for yet: until then an ended one is a zombie. (Starting
# through a second fork would leave no zombie to an open notebook, but lose the exit code.)
_unasked: set[int] = set()


def spawn(argv: Sequence[str], cwd: Path, env: Mapping[str, str], output: BinaryIO) -> int:
    """Start a program that may outlive this process; gives its pid.

    Raises:
        OSError: The program or the folder is not there, or cannot be used.
    """
    child = subprocess.Popen(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        # A notebook's kernel ends its own process group when it is shut down.
        start_new_session=True,
        umask=0o077,
    )
    _unasked.add(child.pid)
    # It is meant to outlive this object, which would otherwise warn when it is collected.
    child.returncode = 0
    return child.pid


def exit_code(pid: int) -> int | None:
    """The exit code of such a child when it has ended, given once (negative: a signal's number).

    None while it runs, and for all that this process did not start.
    """
    if pid not in _unasked:
        return None
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        # Somebody else in this process has asked for it.
        _unasked.discard(pid)
        return None
    if not ended:
        return None
    _unasked.discard(pid)
    return os.waitstatus_to_exitcode(status)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold Ctrl-C back for a moment; it takes effect at the end.

    Not by blocking the signal: a process that is started meanwhile would inherit the block.
    Python runs its handlers in the main thread alone, so elsewhere there is nothing to hold back.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)
