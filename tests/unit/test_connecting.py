"""What a kernel tells an instructor's room; that a real API server keeps it is in test_room."""

from __future__ import annotations

import ast

import nbclient
import nbformat
import pytest

CELLS = (
    """
from workshop.connecting import _tell_the_room
from workshop.core.checks import Checks
from workshop.core.errors import PartFailed
told = []
def report(step, what):
    told.append((step, what["state"], what["said"]))
_tell_the_room(report)
""",
    'raise PartFailed("mongodb could not be started.", state="what no room is told")',
    "1 / 0",
    "2",
    "_tell_the_room(report)",
    """
checks = Checks("MongoDB")
checks.equal("a sum", 4, lambda: 2 + 2)
checks.raise_if_failed()
""",
    "told",
)


def told(monkeypatch: pytest.MonkeyPatch, notebook: str) -> list[tuple[str, str, str]]:
    monkeypatch.setenv("JPY_SESSION_NAME", notebook)
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    shown = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(shown, timeout=60, kernel_name="python3", allow_errors=True).execute()
    found: list[tuple[str, str, str]] = ast.literal_eval(
        shown.cells[-1].outputs[-1]["data"]["text/plain"]
    )
    return found


@pytest.mark.timeout(120)
def test_each_end_of_a_cell_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, "/home/jovyan/notebooks/04_deploy_mongodb.ipynb") == [
        ("04", "running", ""),
        ("04", "failed", "mongodb could not be started."),
        ("04", "failed", "ZeroDivisionError"),
        ("04", "running", ""),
        ("04", "running", ""),
        ("04", "passed", "1 check"),
    ]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("notebook", ["", "/home/jovyan/mine.ipynb", "notebooks/99_clean_up.ipynb"])
def test_other_notebooks_tell_nothing(monkeypatch: pytest.MonkeyPatch, notebook: str) -> None:
    assert told(monkeypatch, notebook) == []
