"""The kernels of a run: always this Python's, started before they are needed.

They are forked, by a process that has imported what they need; it is this module's ``main``. A
kernel that starts from nothing costs two seconds of processor time, and its notebook's imports one
to three more: for nine notebooks on two processors that is as long as the questions take. A forked
kernel starts in half a second and finds everything imported.

The runner writes one JSON object a line to that process's stdin, and reads one a line from its
stdout: ``{"ready": true}`` after the imports, then the pid and in the end the exit code of each
kernel. When stdin ends, the process ends, and the kernels notice that and end too.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from pathlib import Path
from typing import Any, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_core.utils import ensure_event_loop, run_sync

from workshop.core.errors import WorkshopError
from workshop.core.helper import Helper

FORK = 30.0
"""Seconds for the nursery to fork a kernel: it may still be importing what kernels need."""

COMMAND = (sys.executable, "-m", "ipykernel_launcher")
"""How a kernel is started that is not forked."""


class Nursery:
    """The process that forks kernels; see ``main``.

    Args:
        flags: ``--warm``: it imports what the notebooks import, too; the kernels' folder.

    Attributes:
        ready: Whether it has imported everything.
    """

    def __init__(self, *flags: str) -> None:
        self.ready = False
        self._changed = threading.Condition()
        self._pids: dict[str, int] = {}
        self._codes: dict[str, int] = {}
        self._gone = False
        self._helper = Helper("workshop.run.kernels", *flags, hear=self._hear, gone=self._end)

    def fork(self, name: str, argv: list[str], *, cwd: str, log: Path) -> Child:
        """Ask for a kernel; does not wait for it."""
        self._helper.send({"name": name, "argv": argv, "cwd": cwd, "log": str(log)})
        return Child(self, name)

    def pid(self, name: str, timeout: float) -> int | None:
        """The process of this kernel, or None when it was not forked in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._gone or name in self._pids, timeout)
            return self._pids.get(name)

    def code(self, name: str, timeout: float = 0.0) -> int | None:
        """The exit code of this kernel, negative for a signal; None while it runs."""
        with self._changed:
            self._changed.wait_for(lambda: self._gone or name in self._codes, timeout)
            return self._codes.get(name, 1 if self._gone else None)

    def close(self) -> None:
        """End the process at once: it has nothing to lose, and kernels that are left end too."""
        self._helper.close(at_once=True)

    def _hear(self, message: dict[str, Any]) -> None:
        with self._changed:
            if "ready" in message:
                self.ready = True
            elif "pid" in message:
                self._pids[message["name"]] = message["pid"]
            else:
                self._codes[message["name"]] = message["code"]
            self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            self._gone = True
            self._changed.notify_all()


class Child:
    """A forked kernel, with those methods of ``subprocess.Popen`` that jupyter_client uses."""

    stdin = stdout = stderr = None

    def __init__(self, nursery: Nursery, name: str) -> None:
        self._nursery = nursery
        self._name = name

    @property
    def pid(self) -> int:
        """The process; 0 when it could not be forked."""
        return self._nursery.pid(self._name, FORK) or 0

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._nursery.code(self._name)

    def wait(self, timeout: float = 30.0) -> int | None:
        """Wait for its end; None when it still runs."""
        return self._nursery.code(self._name, timeout)

    def send_signal(self, number: int) -> None:
        """Signal it and the children in its group."""
        pid = self.pid
        if pid and self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


class Forked(LocalProvisioner):
    """Launches a kernel by asking the nursery for it."""

    nursery: Nursery
    log_file: Path

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel with the arguments that follow the spec's command."""
        self.process = self.nursery.fork(  # type: ignore[assignment]
            str(self.kernel_id), cmd[len(COMMAND) :], cwd=str(kwargs["cwd"]), log=self.log_file
        )
        # Its process group is its own, and Child knows it.
        self.pgid = None
        self.cwd = kwargs["cwd"]
        return self.connection_info


SOCKET_PATH = 80
"""Characters: a local socket's path may have 104 on macOS, and the kernel's name is added."""

START = 120.0
"""Seconds for a kernel to start: two, on an idle machine."""

AHEAD = 2
"""Kernels that start ahead of their notebooks: one that is skipped takes no time at all."""

ENDING = 5.0
"""Seconds that kernels get to end by themselves when the run is over."""

_ARGUMENTS = ["--HistoryManager.hist_file=:memory:"]
"""As nbclient starts its kernels: a history file on disk makes kernels wait for each other."""


class _ThisPython(KernelSpecManager):
    """Every kernel is the Python that runs the runner, whatever specs are installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The one spec."""
        return KernelSpec(
            argv=[*COMMAND, "-f", "{connection_file}"],
            display_name="Python 3",
            language="python",
            name=kernel_name,
        )


class Kernel:
    """One kernel, perhaps still starting."""

    def __init__(self, manager: AsyncKernelManager, process: Child, log_file: Path) -> None:
        self.manager = manager
        # Kept here: the manager forgets its process once it has seen the end.
        self._process = process
        self._log_file = log_file
        self._client = manager.client()
        # Goes on whenever the event loop runs, so while another notebook's cells are executed.
        self._connecting = ensure_event_loop().create_task(self._connect())

    def connect(self) -> Any:
        """The client, once the kernel answers.

        Raises:
            RuntimeError: The kernel ended, or did not answer in time.
        """
        ensure_event_loop().run_until_complete(self._connecting)
        return self._client

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the running cell."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        code = self._process.poll()
        if code is None:
            return "it does not answer"
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    def log_tail(self) -> list[str]:
        """What it wrote past its notebook: a crash's last words."""
        try:
            text = self._log_file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [line for line in text.splitlines() if line.strip()]

    def release(self) -> None:
        """Close the connection and ask the kernel to end; does not wait for that."""
        run_sync(self._release)()

    def wait(self, timeout: float) -> None:
        """Wait until it has ended; after ``timeout`` seconds, end it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=timeout)
        if self.alive:
            self.kill()
            self._process.wait(timeout=ENDING)
        run_sync(self.manager.cleanup_resources)()

    async def _connect(self) -> None:
        self._client.start_channels()
        await self._client.wait_for_ready(timeout=START)
        self._client.allow_stdin = False

    async def _release(self) -> None:
        ready = self._connecting.done() and not self._connecting.cancelled()
        self._connecting.cancel()
        await asyncio.gather(self._connecting, return_exceptions=True)
        self._client.stop_channels()
        if not ready:
            # Nobody has used it, so there is nothing that it must finish.
            self.kill()
        elif self.alive:
            await self.manager.request_shutdown()

    def _signal(self, number: int) -> None:
        # The whole group, as jupyter does: what the notebook runs in the foreground goes with it.
        pid = self._process.pid
        if pid and self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)


class Kernels:
    """Starts kernels ahead of their notebooks, and ends them behind.

    Args:
        cwd: The notebooks' folder.
        count: How many notebooks will be executed.
        fork: Fork them from a process that has imported what they need; else each starts by
            itself, as on macOS, where system libraries do not bear a fork.
    """

    def __init__(self, cwd: Path, count: int, *, fork: bool = sys.platform != "darwin") -> None:
        self._cwd = cwd
        try:
            base = tempfile.gettempdir()
        except FileNotFoundError as error:
            raise WorkshopError(
                "There is no folder for temporary files.",
                state=error.strerror or "",
                hint="make room in one of these folders, or set TMPDIR to another one",
            ) from error
        # Sockets in a private folder: no other user can reach them, and no port is taken.
        self._folder = Path(
            tempfile.mkdtemp(prefix="workshop-", dir=base if len(base) < SOCKET_PATH else "/tmp")  # noqa: S108
        )
        # The first kernels come from one that has imported the least: it is ready in a second.
        # One that imports what notebooks need costs more than a notebook or two have of it.
        folder = str(self._folder)
        self._nurseries = [Nursery(folder)] if fork else []
        if fork and count > AHEAD:
            self._nurseries.append(Nursery("--warm", folder))
        self._count = 0
        self._ahead: deque[Kernel] = deque()
        self._behind: list[Kernel] = []

    def prepare(self, count: int) -> None:
        """Begin to start the next kernels: ``count``, or as many as are useful to have ahead."""
        while len(self._ahead) < min(count, AHEAD):
            self._ahead.append(self._start())

    def take(self) -> Kernel:
        """The next kernel; it may still be starting."""
        return self._ahead.popleft() if self._ahead else self._start()

    def give_back(self, kernel: Kernel) -> None:
        """Let a kernel end, without waiting for it."""
        kernel.release()
        self._behind.append(kernel)

    def close(self) -> None:
        """End every kernel, and wait for that."""
        while self._ahead:
            self.give_back(self._ahead.popleft())
        for kernel in self._behind:
            kernel.wait(ENDING)
        for nursery in self._nurseries:
            nursery.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> Kernel:
        self._count += 1
        name = f"kernel-{self._count}"
        manager = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=_ThisPython(),
            connection_file=str(self._folder / f"{name}.json"),
            transport="ipc",
            ip=str(self._folder / name),
        )
        log_file = self._folder / f"{name}.log"
        options: dict[str, Any] = {
            "cwd": str(self._cwd),
            "kernel_id": name,
            "extra_arguments": _ARGUMENTS,
        }
        provisioner = self._provisioner(name, manager, log_file)
        manager.provisioner = provisioner
        try:
            with log_file.open("ab") as log:
                run_sync(manager.start_kernel)(stdout=log, stderr=log, **options)
        except OSError as error:
            raise WorkshopError(
                "A notebook's kernel could not be started.",
                state=str(error),
                hint="workshop doctor",
            ) from error
        return Kernel(manager, cast("Child", provisioner.process), log_file)

    def _provisioner(
        self, name: str, manager: AsyncKernelManager, log_file: Path
    ) -> LocalProvisioner:
        what: dict[str, Any] = {
            "kernel_id": name,
            "kernel_spec": manager.kernel_spec,
            "parent": manager,
        }
        if not self._nurseries:
            return LocalProvisioner(**what)
        forked = Forked(**what)
        ready = [nursery for nursery in self._nurseries if nursery.ready]
        forked.nursery = ready[-1] if ready else self._nurseries[0]
        forked.log_file = log_file
        return forked


KERNEL = ("ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell")
"""What every kernel needs."""

NOTEBOOKS = (
    *("workshop", "workshop.connecting", "workshop.targets.local.target", "httpx"),
    *(
        "workshop.parts.environment",
        "workshop.parts.model",
        "workshop.parts.llama_stack",
        "workshop.agent.agent",
    ),
    *("openai", "llama_stack_client", "pymongo", "mcp.client.streamable_http", "ipywidgets"),
)
"""What the notebooks import. A module that is missing here costs its notebook time, no more."""


def main() -> None:
    """Import, also for notebooks with ``--warm``; then serve requests until stdin ends.

    The last argument is the kernels' folder: a runner that is killed cannot remove it itself.
    """
    # Ctrl-C reaches every process of the terminal; what it means is the runner's to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Read when ipykernel is imported: a kernel ends when this process is gone.
    os.environ["JPY_PARENT_PID"] = str(os.getpid())
    for name in KERNEL + (NOTEBOOKS if "--warm" in sys.argv else ()):
        # Whatever is wrong with a module, the notebook that needs it says so better.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.collect()
    # So that a kernel's own garbage collection does not copy what it shares with this process.
    gc.freeze()
    _say({"ready": True})
    _serve()
    shutil.rmtree(sys.argv[-1], ignore_errors=True)
    # Without what the imported modules would do at exit.
    os._exit(0)


def _serve() -> None:
    ended, wake = os.pipe()
    os.set_blocking(ended, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(ended, selectors.EVENT_READ)
    names: dict[int, str] = {}
    rest = b""
    while True:
        ready = [key.fd for key, _events in selector.select()]
        if ended in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(ended, 4096)
            _report_ended(names)
        if 0 in ready:
            received = os.read(0, 65536)
            if not received:
                return
            *lines, rest = (rest + received).split(b"\n")
            for line in lines:
                request = json.loads(line)
                pid = _fork(request)
                names[pid] = request["name"]
                _say({"name": request["name"], "pid": pid})


def _report_ended(names: dict[int, str]) -> None:
    while names:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        _say({"name": names.pop(pid), "code": os.waitstatus_to_exitcode(status)})


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _fork(request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    # As multiprocessing does from Python 3.13 on: what a notebook registers for its end is done,
    # what the imported modules registered here is not.
    atexit._clear()
    try:
        _become_kernel(request)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        os._exit(code)


def _become_kernel(request: dict[str, Any]) -> None:
    # A session of its own, as every kernel has: it interrupts its children by their group.
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, ours in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, ours)
    # Also the pipes of the requests' loop: nothing of the nursery stays open in a kernel.
    os.closerange(3, 256)
    os.chdir(request["cwd"])
    sys.argv = ["ipykernel_launcher", *request["argv"]]
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance(argv=request["argv"])


if __name__ == "__main__":
    main()
