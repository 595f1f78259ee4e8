"""The pages name nothing that is not there, and leave out nothing that must be."""

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
from workshop.setup.components import INDEX_VARIABLES

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "lib" / "workshop"
SUBJECTS = tuple(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "CONTRIBUTING.md", *SUBJECTS)
}
README, CONTRIBUTING = PAGES["README.md"], PAGES["CONTRIBUTING.md"]
SETTINGS, TROUBLESHOOTING = PAGES["docs/settings.md"], PAGES["docs/troubleshooting.md"]

LONGEST = {"README.md": 12_000, "CONTRIBUTING.md": 9_000}
"""Bytes of what everybody reads first. The rest has a page of its own in docs/."""

OF_THE_SYSTEM = {
    *("HOME", "PATH", "CONDA_PREFIX", "NO_PROXY", "no_proxy", "GOFLAGS"),
    "KUBERNETES_SERVICE_HOST",  # a pod's own
    "SERVER_TOKEN",  # the kit hands it to the model server
}
"""Variables that are read and need no line in docs/settings.md."""

TEST_CLUSTER = "tests/testcluster/README.md"

LEAST = 12
"""Characters that a text and its source must have in common: `{x}.` would stand for all."""


def test_each_word_of_the_glossary_is_explained_where_it_says() -> None:
    found = re.findall(
        r"^\| ([^|]+) \| .+ \| \[\d+\]\(\.\./(.+)\) \|$", PAGES["docs/glossary.md"], re.M
    )
    assert len(found) > 50
    assert [word for word, _ in found] == sorted((word for word, _ in found), key=str.lower)
    for word, notebook in found:
        cells = json.loads((ROOT / notebook).read_text("utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells).lower()
        assert re.search(rf"\*{re.escape(word.lower())}s?\*", text), (word, notebook)


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
    heads = ("", "step", "to change", "what you see", "parameter")
    return [row for row in cells if row[0] not in heads]


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


def notebook_parameters() -> dict[tuple[str, str], object]:
    """The default of each parameter, by the notebook's number and its name."""
    found = {}
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if "parameters" in cell["metadata"].get("tags", []):
                for node in ast.parse("".join(cell["source"])).body:
                    assert isinstance(node, ast.Assign)
                    name = ast.unparse(node.targets[0])
                    found[path.name[:2], name] = ast.literal_eval(node.value)
    return found


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
    names = set(INDEX_VARIABLES) | {file.variable for file in PINS.weights.values()}
    for path in LIB.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        names |= set(re.findall(r'\b(?:env|environ)\.get\(\s*"(\w+)"', text))
        names |= set(re.findall(r'\benviron(?:\[|\.pop\()"(\w+)"', text))
    names |= set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "bootstrap").read_text(encoding="utf-8")))
    return names


def documented_variables() -> set[str]:
    table = re.search(r"^\| variable \|.*?(?=^$)", SETTINGS, re.M | re.S)
    assert table
    first = [line.split(" | ")[0] for line in table.group().splitlines()[2:]]
    return {name for cell in first for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_page_is_in_the_index_and_says_who_reads_it_and_when(name: str) -> None:
    assert f"| [{name}]({name}) | " in section(README, "Documentation")
    first = re.match(r"# .+\n\n(.+)\n", PAGES[name])
    assert first
    assert re.match(r"For [^.:]+, when ", first[1]), first[1]


@pytest.mark.parametrize("name", LONGEST)
def test_what_everybody_reads_first_is_short(name: str) -> None:
    assert (ROOT / name).stat().st_size <= LONGEST[name]


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


@pytest.mark.parametrize("name", PAGES)
def test_make_has_every_target_that_is_named(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {word for line in code(PAGES[name]) for word in re.findall(r"\bmake ([a-z-]+)", line)}
    assert named or name not in LONGEST
    assert named <= targets
    variables = set(re.findall(r"^([A-Z]+) \?=", (ROOT / "Makefile").read_text(), re.M))
    for line in code(PAGES[name]):
        assert set(re.findall(r"\bmake [a-z-]+ ([A-Z]+)=", line)) <= variables, line


@pytest.mark.parametrize("name", PAGES)
def test_workshop_has_every_command_and_option_that_is_named(name: str) -> None:
    for line in code(PAGES[name]):
        for words in re.findall(r"(?:^|[\s/])(?<!from )workshop ((?:[a-z]+)\b[^;]*)", line):
            command, *rest = words.split()
            assert re.search(rf"^    {command} ", help_of(), re.M), line
            for option in re.findall(r"(?:^|\s)(--?[a-z][a-z-]*)", " ".join(rest)):
                assert re.search(rf"(?<![\w-]){option}\b", help_of(command)), line
        for option in re.findall(r"\./bootstrap (--[a-z]+)", line):
            assert option in help_of("setup"), line


@pytest.mark.parametrize("name", PAGES)
def test_options_that_stand_alone_are_options_of_run(name: str) -> None:
    for line in code(PAGES[name]):
        if re.match(r"(--(from|to|only|without|clean-up)|-p)( |$)", line):
            assert line.split()[0] in help_of("run"), line


@pytest.mark.parametrize("name", PAGES)
def test_parameters_that_are_named_are_parameters_of_a_notebook(name: str) -> None:
    known = {parameter for _, parameter in notebook_parameters()}
    named = {one for line in code(PAGES[name]) for one in re.findall(r"-p \"?([A-Z_]+)=", line)}
    assert named or name != "README.md"
    assert named <= known


def test_the_table_of_parameters_has_each_with_its_notebooks_and_defaults() -> None:
    wanted = notebook_parameters()
    numbers = {number for number, name in wanted if name == "TARGET"}
    listed = {}
    for name, where, _ in rows(section(SETTINGS, "Parameters")):
        for number, default in re.findall(r"(\d\d|all): `([^`]+)`", where):
            for one in numbers if number == "all" else {number}:
                listed[one, name.strip("`")] = ast.literal_eval(default)
    assert listed == wanted


def test_variables_that_are_named_are_read_and_the_other_way_round() -> None:
    assert documented_variables() == read_by_the_kit() - OF_THE_SYSTEM


def test_variables_that_are_set_in_an_example_are_documented() -> None:
    known = documented_variables()
    for line in [line for text in PAGES.values() for line in code(text)]:
        for name in re.findall(r"(?:^|export )([A-Z][A-Z0-9_]+)=", line):
            assert name in known, line


def test_every_path_of_the_table_in_contributing_exists() -> None:
    table = rows(section(CONTRIBUTING, "To change X, edit Y"))
    assert 10 < len(table) <= 16
    for change, places in table:
        paths = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|README\.md|Makefile|bootstrap)`", places)
        assert paths, change
        for path in paths:
            assert (ROOT / path).exists(), path


def test_files_that_are_named_elsewhere_exist() -> None:
    folders = r"`((?:lib|tests|notebooks|manifests|data|docs|findings|\.ci)/[\w./-]*)`"
    for text in PAGES.values():
        for path in re.findall(folders, text):
            assert (ROOT / path).exists(), path


ERRORS = [
    text
    for row in rows(section(TROUBLESHOOTING, "Errors"))
    for text in re.findall(r"`([^`]+)`", row[0])
]


def test_the_test_clusters_page_names_each_of_its_modules() -> None:
    page = (ROOT / TEST_CLUSTER).read_text(encoding="utf-8")
    for path in (ROOT / TEST_CLUSTER).parent.glob("**/*.py"):
        if "standins" not in path.parts and not path.stem.startswith("__"):
            assert re.search(rf"`{path.stem}`", page), path.name


def test_every_row_of_the_table_of_errors_quotes_one() -> None:
    table = rows(section(TROUBLESHOOTING, "Errors"))
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


def test_each_picture_is_shown_on_a_page() -> None:
    for picture in (*(ROOT / "docs").glob("*.svg"), *(ROOT / "docs").glob("*.png")):
        assert any(f"{picture.name})" in text for text in PAGES.values()), picture.name
