"""Nothing heavy is imported before it is used: kernels and the command line start at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import workshop

HEAVY = (
    *("httpx", "pymongo", "mcp", "llama_stack_client", "IPython", "papermill"),
    *("locust", "matplotlib"),
)
"""Each takes between 0.1 and 2 seconds."""


def loaded_by(code: str) -> list[str]:
    """Which of the heavy packages a fresh Python has loaded after this code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    modules = {name.partition(".")[0] for name in json.loads(done.stdout)}
    return [name for name in HEAVY if name in modules]


def test_importing_the_kit_imports_nothing_heavy():
    assert loaded_by("import workshop") == []


def test_connecting_imports_nothing_heavy(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    assert loaded_by("import workshop; workshop.connect('local').status()") == []


def test_set_up_is_imported_by_a_bare_python():
    """It installs lazy_loader, as all else."""
    lib = str(Path(workshop.__file__).parents[1])
    script = "import sys; sys.path.insert(0, sys.argv[1]); import workshop.setup"
    subprocess.run([sys.executable, "-I", "-S", "-c", script, lib], check=True)


def test_the_test_sees_what_is_imported():
    assert loaded_by("import workshop, httpx") == ["httpx"]


@pytest.mark.parametrize("name", workshop.__all__)
def test_every_public_name_is_there(name):
    assert callable(getattr(workshop, name))
    assert getattr(workshop, name).__name__ == name
    assert name in dir(workshop)


def test_an_unknown_name_is_refused_as_usual():
    with pytest.raises(AttributeError, match=r"^No workshop attribute coffee$"):
        _ = workshop.coffee
