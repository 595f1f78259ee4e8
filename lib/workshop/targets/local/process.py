"""A process that outlives the notebook which started it, and is found again by the next one.

Everything about it stands in a control folder: ``process.json`` (which process it is), ``log`` and
``log.1`` (what it and its predecessor wrote). Both hold no credential that the kit put there.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import psutil

from workshop.core import files
from workshop.core.errors import AlreadyRunning, PartFailed, PartTooSlow, WorkshopError
from workshop.core.secret import Secret, mask
from workshop.core.wait import NotYet, wait_for
from workshop.targets.local import log

INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE"),
    *("TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
)
"""What every part sees of this environment, and does not depend on. The rest stays out: it differs
from shell to shell, and a part must not depend on, or log, what somebody happens to have exported.
"""

MARKER = "WORKSHOP_PART"
"""In the environment of a part's process, and so of all that it starts: its control folder.

It finds those whose parent has ended, and those that began a session of their own. One that does
both and also clears its environment is not found; no software of the kit does that.
"""

AFTER_KILL = 5.0
"""Seconds for the kernel to take away a killed process; more only when the disk hangs."""

CLOCK_TOLERANCE = 2.0
"""Seconds by which a start time may differ between two readings of the same process: systems
derive it from the boot time, which moves with the clock."""

Status = Literal["running", "ended", "stranger", "absent"]
"""What ``process.json`` and the machine say together.

``ended``: it was started and is gone. ``stranger``: it is gone, and its pid was given to another
program. ``absent``: it was never started, or it was stopped.
"""


@dataclass(frozen=True)
class Command:
    """How a part's software is run; ``programs.command`` adds the ports and the secrets."""

    argv: tuple[str, ...]  # Program and arguments; everybody on the machine can read them.
    # Added to the inherited base; may hold secrets, and is never written to disk.
    env: Mapping[str, str] = field(repr=False)
    cwd: Path
    ports: Mapping[str, int] = field(default_factory=dict)  # By name; ``main`` first.
    secrets: tuple[Secret, ...] = ()  # What must not stand in ``argv``.


def exported(*names: str) -> dict[str, str]:
    """These variables, as far as they are set.

    One on which a part depends goes into the ``env`` of its command: a change then restarts it.
    """
    return {name: os.environ[name] for name in names if name in os.environ}


@dataclass(frozen=True)
class Record:
    """What ``process.json`` says: which process was started, and how.

    ``create_time`` is in seconds since the epoch, ``started`` the same as ISO 8601 with the offset
    to UTC; ``env`` holds names only. ``exit_code`` is negative after a signal, and None while it
    runs or when nobody could see it.
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
    """One part's process, by its control folder, which is made at the first start.

    ``secrets`` gives what is masked in every line of the log that is read through this object.
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
        process of this folder left running is ended first: it may hold a port or a file. By the
        ``fingerprint``, which is kept, a later ``ensure`` sees changed settings.

        Raises ``ValueError`` where a secret stands in the command line, ``AlreadyRunning`` where it
        runs already, ``PartFailed`` where the program is not there or cannot be run, and
        ``WorkshopError`` where the control folder cannot be written, or is damaged.
        """
        _refuse_secrets(command)
        # Two notebooks may be run at once: the second one then finds what the first has started.
        with files.turn(self.folder / "turn"):
            if self.state() == "running":
                raise AlreadyRunning(f"{self.name} runs already.", state=self.describe())
            self.stop()
            # Ctrl-C interrupts the main thread alone, and the block does not end before its thread.
            # (Were the signal blocked instead, the process would inherit the block.)
            with ThreadPoolExecutor(1) as thread:
                thread.submit(self._launch, command, fingerprint).result()

    def state(self) -> Status:
        """What has become of it; asks the machine, and signals nothing."""
        record = self.record()
        if record is None:
            return "absent"
        code = _exit_code(record.pid)
        if code is not None:
            record = replace(record, exit_code=code)
            # On a full disk it is known here and now alone; that it has ended, everybody sees.
            with suppress(WorkshopError):
                self._write(record)
        if record.exit_code is not None:
            return "ended"
        try:
            process = psutil.Process(record.pid)
            if is_over(process):
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
        """What ``process.json`` says, or None when there is none. A damaged one is an error."""
        hint = f"workshop stop {self.name}"
        content = files.read_json(self._record_path, hint=hint)
        if content is None:
            return None
        try:
            record = Record(**{one.name: content[one.name] for one in fields(Record)})
            int(record.pid), float(record.create_time), dict(record.ports)
        except (KeyError, TypeError, ValueError) as error:
            raise files.damaged(self._record_path, f"not as written: {error}", hint=hint) from None
        return record

    def stop(self, *, grace: float = 10.0, forget: bool = True) -> bool:
        """End it and all that it started: SIGTERM, leaves first, and SIGKILL after ``grace`` s.

        Needs no readable record: the processes carry this folder's name in their environment. A
        stranger that was given the pid is never signalled. Without ``forget`` its record stays, and
        its next start takes the same ports. Gives whether there was something to stop. Raises
        ``PartTooSlow`` where a process is there even after SIGKILL.
        """
        ended = _end(self._family, grace)
        pids = {process.pid for process in ended}
        with suppress(WorkshopError):
            if record := self.record():
                pids.add(record.pid)
        for pid in pids:
            # No zombie of it is left.
            _exit_code(pid)
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

    def _launch(self, command: Command, fingerprint: str) -> None:
        pid = self._spawn(command)
        try:
            created = psutil.Process(pid).create_time()
        except psutil.Error:
            # It has ended already, and some systems forget a zombie's start time.
            created = time.time()
        record = Record(
            pid=pid,
            create_time=created,
            argv=list(command.argv),
            env=sorted(command.env),
            cwd=str(command.cwd),
            ports=dict(command.ports),
            fingerprint=fingerprint,
            started=datetime.fromtimestamp(created).astimezone().isoformat(timespec="seconds"),
        )
        try:
            self._write(record)
        except BaseException:
            self.stop(grace=0)
            raise

    def _spawn(self, command: Command) -> int:
        with files.writing(self.log_path):
            output = log.start(self.log_path, command.argv)
        try:
            with output:
                child = subprocess.Popen(
                    command.argv,
                    cwd=command.cwd,
                    env=exported(*INHERITED) | dict(command.env) | {MARKER: str(self.folder)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # A notebook's kernel ends its own process group when it is shut down.
                    start_new_session=True,
                    umask=0o077,
                )
        except OSError as error:
            raise PartFailed(
                f"{self.name} could not be started.",
                where=command.argv[0],
                state=f"{error.filename or command.argv[0]}: {error.strerror}",
                hint="make setup",
            ) from error
        _children.add(child.pid)
        # It is meant to outlive this object, which would otherwise warn when it is collected.
        child.returncode = 0
        return child.pid

    def _family(self) -> list[psutil.Process]:
        roots = []
        with suppress(WorkshopError, psutil.NoSuchProcess):
            record = self.record()
            if record and self._is_ours(root := psutil.Process(record.pid), record):
                roots.append(root)
        return family(self.folder, roots)

    def _is_ours(self, process: psutil.Process, record: Record) -> bool:
        # The marker tells whose it is: in a copied folder the record is of another folder's part.
        # Where it cannot be read, the start time does, which jumps when a machine has slept.
        mark = mark_of(process)
        if mark is not None:
            return mark == str(self.folder)
        return abs(process.create_time() - record.create_time) <= CLOCK_TOLERANCE

    def _write(self, record: Record) -> None:
        files.write_json(self._record_path, asdict(record))


def _refuse_secrets(command: Command) -> None:
    """Make sure that the command line, which everybody can read, holds none of its secrets."""
    for number, argument in enumerate(command.argv):
        # A short one, such as a user's own "test", may stand in a path by chance.
        whole = {argument, argument.partition("=")[2]}
        for value in (secret.reveal() for secret in command.secrets):
            if value in whole or (len(value) >= 8 and value in argument):
                raise ValueError(
                    f"argument {number} of the command line holds a secret: hand it over in env"
                )


# Those that this process started, and whose exit code was not asked for yet: until then an ended
# one is a zombie. (Starting through a second fork would leave none, but lose the exit code.)
_children: set[int] = set()


def _exit_code(pid: int) -> int | None:
    """The exit code of such a child when it has ended, given once (negative: a signal's number)."""
    if pid not in _children:
        return None
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        # Somebody else in this process has asked for it.
        _children.discard(pid)
        return None
    if not ended:
        return None
    _children.discard(pid)
    return os.waitstatus_to_exitcode(status)


# --- all that a part's software has started ------------------------------------------------------


def mark_of(process: psutil.Process) -> str | None:
    """The control folder that it carries as its marker; None also when this user may not look."""
    try:
        return process.environ().get(MARKER)
    except (psutil.Error, OSError):
        return None


def is_over(process: psutil.Process) -> bool:
    """Whether it has ended, with all its threads.

    A zombie has: only its parent has not asked for its exit code yet. It looks like one from the
    moment when its first thread has ended, though, and until the last has, which takes a model
    server a fifth of a second, it holds its ports.
    """
    try:
        status = process.status()
        if not process.is_running() or status == psutil.STATUS_DEAD:
            return True
        return status == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def family(folder: Path, roots: Iterable[psutil.Process] = ()) -> list[psutil.Process]:
    """These processes, those that carry the folder's mark, and all their descendants.

    The newest first, so that each comes before the one that started it. Never the process that
    asks, nor one that it descends from.
    """
    found: dict[int, psutil.Process] = {}
    tops = {*roots}
    seen = psutil.process_iter(["create_time", "ppid"], ad_value=0)
    for process in sorted(seen, key=lambda one: (one.info["create_time"], one.pid)):
        if process in tops or process.info["ppid"] in found or mark_of(process) == str(folder):
            found[process.pid] = process
    for process in (asking := psutil.Process(), *asking.parents()):
        found.pop(process.pid, None)
    return [process for process in reversed(found.values()) if not is_over(process)]


def _end(find: Callable[[], list[psutil.Process]], grace: float) -> set[psutil.Process]:
    """End the processes that ``find`` gives, and give them back.

    It is asked again before killing: a process may have started more of them meanwhile.
    """
    ended: set[psutil.Process] = set()
    number, seconds = signal.SIGTERM, grace
    while left := [one for one in dict.fromkeys((*find(), *ended)) if not is_over(one)]:
        ended.update(left)
        for process in left:
            # psutil compares the start time first: a pid that was given to another is left alone.
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        try:
            _wait(left, seconds)
        except PartTooSlow:
            if number == signal.SIGKILL:
                raise
        number, seconds = signal.SIGKILL, AFTER_KILL
    return ended


def _wait(processes: Iterable[psutil.Process], timeout: float) -> None:
    """Wait until all are over.

    Not with ``psutil.wait_procs``: it waits for a zombie whose parent, such as a notebook that is
    still open, has not asked for its exit code, until the time is up.
    """

    def over() -> bool | NotYet:
        left = [process.pid for process in processes if not is_over(process)]
        return NotYet(f"still there: pid {', '.join(map(str, left))}") if left else True

    hint = "see what they wait for: ps -eo pid,stat,wchan,args"
    wait_for("the processes to end", over, timeout=timeout, every=0.02, hint=hint)
