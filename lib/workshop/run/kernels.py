"""The kernel of a step."""

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

from workshop.core.errors import WorkshopError
from workshop.core.settings import NOTEBOOK


class Kernel:
    """One kernel, perhaps still starting: always this Python, whatever specs are installed.

    Attributes:
        manager: Jupyter's.
        process: Kept here: the manager forgets it once it has seen the end.
        log: What it writes past its notebook: a crash's last words.

    Raises:
        WorkshopError: It cannot be started.
    """

    def __init__(self, cwd: Path, notebook: str = "") -> None:
        try:
            base = tempfile.gettempdir()
            # Sockets in a private folder: no other user can reach them, and no port is taken. The
            # path of one may have 103 characters on macOS, and 30 are added here.
            self._folder = tempfile.TemporaryDirectory(
                prefix="workshop-",
                dir=base if len(base) < 70 else "/tmp",  # noqa: S108
                ignore_cleanup_errors=True,
            )
            self.manager = AsyncKernelManager(
                kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
                connection_file=f"{self._folder.name}/k.json",
                transport="ipc",
            )
            self.log = Path(self._folder.name, "log")
            with self.log.open("ab") as log:
                run_sync(self.manager.start_kernel)(
                    cwd=str(cwd),
                    env=os.environ | {NOTEBOOK: notebook},
                    stdout=log,
                    stderr=log,
                    # A history file on disk makes kernels wait for each other.
                    extra_arguments=["--HistoryManager.hist_file=:memory:"],
                )
        except OSError as error:
            raise WorkshopError(
                "A notebook's kernel could not be started.",
                state=str(error),
                hint="workshop doctor; TMPDIR names another folder for temporary files",
            ) from error
        provisioner: Any = self.manager.provisioner
        self.process: subprocess.Popen[bytes] = provisioner.process

    def signal(self, number: int) -> None:
        """Send a signal to it and to what its notebook runs in the foreground, as Jupyter does."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def end(self) -> None:
        """End it if it still runs, wait for that, and remove its files; safe to repeat."""
        run_sync(self.manager.shutdown_kernel)(now=True)
        self._folder.cleanup()
