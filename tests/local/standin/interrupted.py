"""Brings a part up that is waiting at its gate: ``interrupted.py STATE PORT GATE``.

Ends as a notebook's cell does when Ctrl-C comes while it waits.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from standin import tiny
from workshop.targets.base import Part

state, port, gate = sys.argv[1:]
where = tiny.target(Path(state), model=tiny.server("--gate", gate))
tiny.ensure(where, Part("model", int(port)), timeout=60)
