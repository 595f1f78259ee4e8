"""What PYTHONPATH names is another Python's: none of it reaches the kit's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from workshop.core.settings import CHECKOUT

LOOK = (
    "import sys, os, json, typing, zmq, workshop\n"
    "named = {'PYTHONPATH', 'PYTHONSTARTUP'} & set(os.environ)\n"
    "print(zmq.__file__, workshop.__file__, sorted(named))"
)


@pytest.fixture
def foreign(tmp_path: Path) -> dict[str, str]:
    """An environment that names a folder with modules of the kit's names, each of which fails."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    for name in ("zmq", "workshop", "typing", "sitecustomize"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('the foreign {name}')\n")
    library = os.path.dirname(os.__file__)  # noqa: PTH120
    named = os.pathsep.join([str(folder), "", library, str(CHECKOUT / "lib"), "/not/there"])
    return {**os.environ, "PYTHONPATH": named, "PYTHONSTARTUP": str(folder / "zmq.py")}


def run(argv: list[str | Path], env: dict[str, str]) -> str:
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_neither_modules_nor_variables_reach_a_kernel_s_python(foreign: dict[str, str]) -> None:
    here = run([sys.executable, "-c", LOOK], {**os.environ})
    assert run([sys.executable, "-c", LOOK], foreign) == here
    assert here.endswith(" []\n")


def test_the_command_runs(foreign: dict[str, str]) -> None:
    command = Path(sys.executable).with_name("workshop")
    assert run([command, "version"], foreign).startswith("agent-workshop-kit ")
