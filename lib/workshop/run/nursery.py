"""A process that has imported what kernels need, and forks one whenever it is asked.

A kernel that starts from nothing costs two seconds of processor time, and its notebook's imports
one to three more: for nine notebooks on two processors that is as long as the questions take. A
forked kernel starts in half a second and finds everything imported.

The runner writes one JSON object a line to this process's stdin, and reads one a line from its
stdout: ``{"ready": true}`` after the imports, then the pid and in the end the exit code of each
kernel. When stdin ends, this process ends, and the kernels notice that and end too.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import sys
from typing import Any

KERNEL = ("ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell")
"""What every kernel needs."""

NOTEBOOKS = (
    *("workshop", "workshop.connecting", "workshop.local.target", "httpx"),
    *("workshop.environment", "workshop.model", "workshop.llama_stack", "workshop.agent"),
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
