"""docs/library.md, made from the public names and what their docstrings say.

``make fix`` runs this file as a program, which writes the page.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import workshop

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "library.md"
STUB = Path(workshop.__file__).with_suffix(".pyi")
HEAD = (
    "# The library, notebook by notebook\n\n"
    "For everybody who writes in a notebook, when you look for a name: `from workshop import "
    "connect, deploy_mongodb`. Each name stands under the first notebook that uses it. In a "
    "notebook, a question mark shows the whole description: `workshop.deploy_mongodb?`.\n\n"
    "<!-- Made by `make fix` from lib/workshop/__init__.pyi and the docstrings. -->\n"
)


def cells(stem: str, kind: str) -> list[str]:
    """The texts of a notebook's cells of one kind."""
    raw = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text("utf-8"))
    return ["".join(cell["source"]) for cell in raw["cells"] if cell["cell_type"] == kind]


def listed() -> dict[str, list[str]]:
    """The public names below each notebook's name, as the stub has them."""
    found: dict[str, list[str]] = {}
    for line in STUB.read_text("utf-8").splitlines():
        if heading := re.fullmatch(r"# (\d\d_\w+)", line):
            found[heading[1]] = []
        elif line.startswith("from "):
            found[list(found)[-1]].append(line.split()[-1])
    return found


def imported() -> dict[str, list[str]]:
    """The names that each notebook is the first to import from ``workshop``."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        trees = [ast.parse(text) for text in cells(path.stem, "code")]
        names = {
            alias.name
            for tree in trees
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "workshop"
            for alias in node.names
        }
        found[path.stem] = sorted(names - set().union(*found.values()))
    return found


def summary(name: str) -> str:
    """The first line of a public name's docstring."""
    return str(getattr(workshop, name).__doc__).splitlines()[0].replace("``", "`")


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for stem, names in listed().items():
        title = cells(stem, "markdown")[0].splitlines()[0].removeprefix("# ")
        lines += [f"## [{title}](../notebooks/{stem}.ipynb)", ""]
        lines += ["| name | what it does |", "|---|---|"]
        lines += [*(f"| `{name}` | {summary(name)} |" for name in names), ""]
    return "\n".join(lines)


def test_the_page_says_what_the_docstrings_say() -> None:
    assert PAGE.read_text("utf-8") == page(), "docs/library.md is out of date: make fix"


def test_each_name_stands_below_the_first_notebook_that_imports_it() -> None:
    assert {stem: sorted(names) for stem, names in listed().items()} == imported()


def test_each_name_has_one_whole_sentence() -> None:
    assert [name for name in workshop.__all__ if not summary(name).endswith(".")] == []


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
