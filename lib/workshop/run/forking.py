"""The runner's side of the nursery: asks it for kernels, and hears how they end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from workshop.run.helper import Helper

FORK = 30.0
"""Seconds for the nursery to fork a kernel: it may still be importing what kernels need."""

COMMAND = (sys.executable, "-m", "ipykernel_launcher")
"""How a kernel is started that is not forked."""


class Nursery:
    """The process that forks kernels; see ``workshop.run.nursery``.

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
        self._helper = Helper("workshop.run.nursery", *flags, hear=self._hear, gone=self._end)

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
