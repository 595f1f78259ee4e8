"""Keeps what another Python wants out of this one; ``workshop_path.pth`` runs it at each start.

Nobody exports PYTHONPATH or PYTHONSTARTUP for the kit: they are of another Python, whose packages
would come before the kit's own, in commands, in kernels and in whatever they start.
"""

import os
import sys


def _keep_out() -> None:
    named = os.environ.pop("PYTHONPATH", "").split(os.pathsep)
    os.environ.pop("PYTHONSTARTUP", None)
    foreign = {os.path.abspath(path) for path in named if path}  # noqa: PTH100
    # What this Python has without it: its own library, and the kit. Each is there only once.
    library = os.path.dirname(os.__file__)  # noqa: PTH120
    own = {library, f"{library}/lib-dynload", os.path.dirname(os.path.dirname(__file__))}  # noqa: PTH120
    sys.path[:] = [path for path in sys.path if path not in foreign or path in own]


_keep_out()
