"""README and CONTRIBUTING name nothing that is not there, and leave out nothing that must be."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from workshop.core.versions import PINS
from workshop.setup import index

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "lib" / "workshop"
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DOCUMENTS = {"README.md": README, "CONTRIBUTING.md": CONTRIBUTING}

OF_THE_SYSTEM = {
    *("HOME", "PATH", "CONDA_PREFIX", "NO_PROXY", "no_proxy", "GOFLAGS"),
    "KUBERNETES_SERVICE_HOST",  # a pod's own
    "SERVER_TOKEN",  # the kit hands it to the model server
}
"""Variables that are read and need no line in the README."""

LEAST = 12
"""Characters that a text and its source must have in common: `{x}.` would stand for all."""


def section(text: str, title: str) -> str:
    """What stands below a heading, up to the next one of its level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, title
    return found.group(1)


def rows(text: str) -> list[list[str]]:
    """The cells of a page's tables, without the heads."""
    cells = [
        [cell.strip() for cell in line.strip("|\n ").split(" | ")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    return [row for row in cells if row[0] not in ("", "step", "to change", "what you see")]


def code(text: str) -> list[str]:
    """What stands in backquotes and in fenced shell blocks, a line at a time."""
    fenced = [
        line.split(" #")[0].strip()
        for block in re.findall(r"```sh\n(.*?)```", text, re.S)
        for line in block.splitlines()
    ]
    return [*fenced, *re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))]


@cache
def help_of(*words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "workshop.cli", *words, "--help"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@cache
def literals() -> tuple[re.Pattern[str], ...]:
    """Each text in the library as a pattern: what is formatted in stands for anything."""
    found = []
    for path in LIB.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        pieces = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else None for v in node.values]
            elif (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in pieces
            ):
                parts = [node.value]
            else:
                continue
            if sum(len(str(part)) for part in parts if part) >= LEAST:
                found.append("".join(".+" if p is None else re.escape(str(p)) for p in parts))
    return tuple(re.compile(one) for one in set(found))


def is_said(text: str) -> bool:
    """Whether the library has a text that gives this one, or that holds it."""
    held = re.escape(text)
    return any(one.fullmatch(text) or held in one.pattern for one in literals())


def read_by_the_kit() -> set[str]:
    """The variables of the environment that library and bootstrap read."""
    names = set(index.VARIABLES) | {PINS.chat.variable, PINS.embedding.variable}
    for path in LIB.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        names |= set(re.findall(r'\b(?:env|environ)\.get\(\s*"(\w+)"', text))
        names |= set(re.findall(r'\benviron(?:\[|\.pop\()"(\w+)"', text))
    names |= set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "bootstrap").read_text(encoding="utf-8")))
    return names


def documented_variables() -> set[str]:
    table = re.search(r"^\| variable \|.*?(?=^$)", README, re.M | re.S)
    assert table
    first = [line.split(" | ")[0] for line in table.group().splitlines()[2:]]
    return {name for cell in first for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    text = DOCUMENTS[name]
    headings = {slug(h) for h in re.findall(r"^#+ (.+)$", text.replace("*", ""), re.M)}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif not target.startswith("https://"):
            assert (ROOT / target).is_file(), target


def test_the_steps_are_the_notebooks_in_order_with_their_titles() -> None:
    listed = [
        (row[0], *re.fullmatch(r"\[(.+)\]\((.+)\)", row[1]).groups())  # type: ignore[union-attr]
        for row in rows(section(README, "The steps"))
    ]
    wanted = []
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        number, title = re.match(r"# (\d+)\. (.+)", first).groups()  # type: ignore[union-attr]
        wanted.append((number, title, f"notebooks/{path.name}"))
    assert listed == wanted


@pytest.mark.parametrize("name", DOCUMENTS)
def test_make_has_every_target_that_is_named(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {
        word for line in code(DOCUMENTS[name]) for word in re.findall(r"\bmake ([a-z-]+)", line)
    }
    assert named
    assert named <= targets
    variables = set(re.findall(r"^([A-Z]+) \?=", (ROOT / "Makefile").read_text(), re.M))
    for line in code(DOCUMENTS[name]):
        assert set(re.findall(r"\bmake [a-z-]+ ([A-Z]+)=", line)) <= variables, line


@pytest.mark.parametrize("name", DOCUMENTS)
def test_workshop_has_every_command_and_option_that_is_named(name: str) -> None:
    for line in code(DOCUMENTS[name]):
        for words in re.findall(r"(?:^|[\s/])workshop ((?:[a-z]+)\b[^;]*)", line):
            command, *rest = words.split()
            assert re.search(rf"^    {command} ", help_of(), re.M), line
            for option in re.findall(r"(?:^|\s)(--?[a-z][a-z-]*)", " ".join(rest)):
                assert re.search(rf"(?<![\w-]){option}\b", help_of(command)), line
        for option in re.findall(r"\./bootstrap (--[a-z]+)", line):
            assert option in help_of("setup"), line


@pytest.mark.parametrize("name", DOCUMENTS)
def test_options_that_stand_alone_are_options_of_run(name: str) -> None:
    for line in code(DOCUMENTS[name]):
        if re.match(r"(--(from|to|only|without|clean-up)|-p)( |$)", line):
            assert line.split()[0] in help_of("run"), line


def test_parameters_that_are_named_are_parameters_of_a_notebook() -> None:
    cells = "".join(
        "".join(cell["source"]) + "\n"
        for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if "parameters" in cell["metadata"].get("tags", [])
    )
    known = set(re.findall(r"^([A-Z_]+) =", cells, re.M))
    named = {name for line in code(README) for name in re.findall(r"-p ([A-Z_]+)=", line)}
    assert named
    assert named <= known


def test_variables_that_are_named_are_read_and_the_other_way_round() -> None:
    assert documented_variables() == read_by_the_kit() - OF_THE_SYSTEM


def test_variables_that_are_set_in_an_example_are_documented() -> None:
    known = documented_variables()
    for line in code(README) + code(CONTRIBUTING):
        for name in re.findall(r"(?:^|export )([A-Z][A-Z0-9_]+)=", line):
            assert name in known, line


def test_every_path_of_the_table_in_contributing_exists() -> None:
    table = rows(section(CONTRIBUTING, "To change X, edit Y"))
    assert len(table) > 10
    for change, places in table:
        paths = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|README\.md|Makefile|bootstrap)`", places)
        assert paths, change
        for path in paths:
            assert (ROOT / path).exists(), path


def test_files_that_are_named_elsewhere_exist() -> None:
    """Those with a folder, and the modules of the layout."""
    for text in DOCUMENTS.values():
        for path in re.findall(r"`((?:lib|tests|notebooks|data|docs|\.ci)/[\w./-]*)`", text):
            assert (ROOT / path).exists(), path
    layout = re.search(r"```\n(.*?)```", section(CONTRIBUTING, "Layout"), re.S)
    assert layout
    named = set(re.findall(r"\b\w+\.py\b", layout.group(1)))
    assert named <= {path.name for path in LIB.rglob("*.py")}
    assert {path.name for path in LIB.glob("*.py")} <= named


ERRORS = [
    text
    for row in rows(section(README, "When a step stops"))
    for text in re.findall(r"`([^`]+)`", row[0])
]


def test_every_row_of_the_table_of_errors_quotes_one() -> None:
    table = rows(section(README, "When a step stops"))
    assert all(len(row) == 3 and row[0].startswith("`") for row in table)
    assert len(ERRORS) == len(table) > 15


@pytest.mark.parametrize("text", ERRORS)
def test_errors_are_quoted_as_the_library_says_them(text: str) -> None:
    assert text in (ROOT / "bootstrap").read_text(encoding="utf-8") or is_said(text), text


def test_an_error_that_nobody_says_would_be_noticed() -> None:
    assert not is_said("The model went for a walk.")


def test_pictures_are_text_that_both_kinds_of_page_can_show() -> None:
    for picture in (ROOT / "docs").glob("*.svg"):
        text = picture.read_text(encoding="utf-8")
        assert "<title" in text
        assert "<text" in text
        assert re.search(r"prefers-color-scheme: ?dark", text)
        assert not re.search(r"<image|<script|href=|url\(http", text), picture.name
        assert picture.name in README
