"""Nothing heavy is imported before it is used: kernels and the command line start at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import workshop

HEAVY = (
    *("httpx", "pymongo", "mcp", "openai", "llama_stack_client", "IPython", "papermill"),
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


def test_the_test_sees_what_is_imported():
    assert loaded_by("import workshop, httpx") == ["httpx"]


@pytest.mark.parametrize("name", workshop.__all__)
def test_every_public_name_is_there(name):
    assert callable(getattr(workshop, name))
    assert getattr(workshop, name).__name__ == name
    assert name in dir(workshop)


def test_the_names_for_type_checkers_are_the_public_ones():
    source = Path(str(workshop.__file__)).read_text(encoding="utf-8").splitlines()
    imported = [line.split()[-1] for line in source if line.startswith("    from workshop.")]
    assert sorted(imported) == workshop.__all__


def test_an_unknown_name_is_refused_as_usual():
    with pytest.raises(AttributeError, match=r"^module 'workshop' has no attribute 'coffee'$"):
        _ = workshop.coffee
