"""The kernels of a run: always this Python's, started before they are needed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Any, cast

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_core.utils import ensure_event_loop, run_sync

from workshop.errors import WorkshopError
from workshop.run.forking import COMMAND, Child, Forked, Nursery

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
