"""What this very process has started: apart from itself, and with their exit codes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

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
