"""Holds a lock until it is killed: ``holder.py LOCK WHAT [FOLDER]``.

With a folder it starts, while it holds the lock, a server that outlives it.
"""

import signal
import sys
from pathlib import Path

from workshop.core.files import hold
from workshop.targets.local.process import Command, Process

lock, what, *folder = sys.argv[1:]
with hold(Path(lock), what):
    if folder:
        server = Path(__file__).with_name("server.py")
        command = Command((sys.executable, str(server)), {}, Path(folder[0]).parent, {})
        Process(Path(folder[0]), "server").start(command, fingerprint="")
    sys.stdout.write("held\n")
    sys.stdout.flush()
    signal.pause()
