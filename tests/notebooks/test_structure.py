"""Every notebook has the same frame, and can be run by anybody, by papermill and by nbval alike.

A rule takes a notebook and yields what is wrong with it. `BREAKS` holds, for each rule, small
changes that break it: a rule that could not fail would be worth nothing.
"""

from __future__ import annotations

import ast
import json
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from pictures import alt
from workshop.agent import questions

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
TEMPLATE = FOLDER.parent / "docs" / "notebook-template.ipynb"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
SECTIONS = (
    "What you will do",
    "Before you start",
    "Check your work",
    "Try it yourself",
    "What you have now",
    "Clean up",
)
DEPLOYS = re.compile(
    r"\b(add_gpu_nodes|serve_model|deploy_\w+|load_sample_data|register_\w+|create_agent|"
    r"agent\.ask|secure_\w+|rotate_\w+|clean_up)\("
)
VERIFIES = re.compile(r"^(verify_\w+|check_environment)$")
SECRETS = {
    "a token": r"\b(sk-|hf_|ghp_|gho_|glpat-|xox[bp]-|AKIA|eyJ)[\w-]{8,}",
    "a private key": r"-----BEGIN",
    "a credential in a URL": r"://[^/\s:@\"'`]+:[^/\s@\"'`]+@",
    "a credential in the code": r"(?i)(password|passwd|secret|token|api_?key)\w*\s*=\s*[\"']\w",
    "a long random string": r"\b(?=\w*\d)(?=\w*[A-Za-z])\w{32,}\b",
    "TLS that is not verified": r"verify\s*=\s*False",
}
DURATION = re.compile(r"\b(seconds?|minutes?|no time|at once|how long)\b")
LOOPS = (ast.For, ast.While, ast.AsyncFor, ast.If, ast.Try)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
SHELLS = re.compile(r"\b(sleep|system|popen|Popen|run_line_magic|get_ipython|check_output)\(")


@dataclass(frozen=True)
class Cell:
    """One cell, with its place in the notebook."""

    number: int
    kind: str
    text: str
    tags: tuple[str, ...]
    raw: dict[str, Any] = field(repr=False)

    @property
    def lines(self) -> int:
        return sum(bool(line.strip()) for line in self.text.splitlines())

    @property
    def prose(self) -> str:
        """The text without fenced blocks and the template's instructions."""
        return re.sub(r"^>.*$", "", re.sub(r"```.*?```", "", self.text, flags=re.S), flags=re.M)

    @property
    def tree(self) -> list[ast.stmt]:
        return ast.parse(self.text).body


class Notebook:
    """A notebook, and its place among the others of its folder."""

    def __init__(self, path: Path) -> None:
        self.path, self.stem = path, path.stem
        self.raw = json.loads(path.read_text(encoding="utf-8"))
        self.cells = [
            Cell(
                number,
                cell["cell_type"],
                "".join(cell["source"]),
                tuple(cell["metadata"].get("tags", ())),
                cell,
            )
            for number, cell in enumerate(self.raw["cells"])
        ]
        self.code = [cell for cell in self.cells if cell.kind == "code"]
        self.markdown = [cell for cell in self.cells if cell.kind == "markdown"]
        self.chain = sorted(other.stem for other in path.parent.glob("[0-9]*.ipynb"))

    @property
    def title(self) -> str:
        return self.cells[0].text.splitlines()[0].removeprefix("# ")

    def tagged(self, tag: str) -> list[Cell]:
        return [cell for cell in self.cells if tag in cell.tags]

    def section(self, heading: str) -> Cell | None:
        return next((c for c in self.markdown if f"## {heading}\n" in c.text + "\n"), None)

    def neighbour(self, distance: int) -> Notebook | None:
        place = self.chain.index(self.stem) + distance
        inside = 0 <= place < len(self.chain)
        return Notebook(self.path.with_name(f"{self.chain[place]}.ipynb")) if inside else None


Rule = Callable[[Notebook], Iterator[str]]
RULES: dict[str, Rule] = {}
ONLY_IN_THE_CHAIN: set[str] = set()


def rule(function: Rule) -> Rule:
    """A rule for all notebooks, the template among them."""
    RULES[function.__name__] = function
    return function


def chain_rule(function: Rule) -> Rule:
    """A rule for the numbered notebooks."""
    ONLY_IN_THE_CHAIN.add(function.__name__)
    return rule(function)


def at(cell: Cell, problem: str) -> str:
    return f"cell {cell.number}: {problem}"


@chain_rule
def name_is_two_digits_and_a_verb(notebook: Notebook) -> Iterator[str]:
    if not re.fullmatch(r"\d\d_[a-z]+(_[a-z0-9]+)+", notebook.stem):
        yield "cell 0: the file's name must be two digits and words, the verb first"
    elif not re.match(rf"# {int(notebook.stem[:2])}\. [A-Z]", notebook.cells[0].text):
        yield f"cell 0: the title must begin with '# {int(notebook.stem[:2])}. '"


@rule
def begins_with_one_title_and_two_sentences(notebook: Notebook) -> Iterator[str]:
    first = notebook.cells[0]
    if first.kind != "markdown" or not first.text.startswith("# "):
        yield at(first, "the first cell must be the title, '# ...'")
        return
    for cell in notebook.markdown[1:]:
        if re.search(r"^# ", cell.prose, re.M):
            yield at(cell, "only the first cell has a title; use '## ...' here")
    paragraphs = first.prose.split("\n\n")
    sentences = re.findall(r"[.!?](?=\s|$)", paragraphs[1]) if len(paragraphs) > 2 else []
    if not 2 <= len(sentences) <= 3:
        yield at(first, "after the title come two sentences (three, if short), then the way")


@chain_rule
def shows_the_way(notebook: Notebook) -> Iterator[str]:
    number, last = notebook.stem[:2], max(stem[:2] for stem in notebook.chain if stem < "99")
    step = "After the last step" if number == "99" else f"Step {int(number)} of {int(last)}"
    before, after = notebook.neighbour(-1), notebook.neighbour(1)
    links = [f"Previous: [{before.title}]({before.path.name})"] if before else []
    links += ["[Contents](../README.md)"]
    links += [f"Next: [{after.title}]({after.path.name})"] if after else []
    wanted = f"{step}. {' | '.join(links)}"
    seen = notebook.cells[0].text.splitlines()[-1]
    if not re.fullmatch(r"About \d+ minutes?\. " + re.escape(wanted), seen):
        yield f"cell 0: the last line must be 'About N minutes. {wanted}', and is '{seen}'"
    end = notebook.cells[-1]
    wanted = (
        f"**Next: [{after.title}]({after.path.name})**" if after else "[Contents](../README.md)"
    )
    if wanted not in end.text.splitlines()[-1]:
        yield at(end, f"the last line must be {wanted}")


@rule
def has_its_sections_in_order(notebook: Notebook) -> Iterator[str]:
    # The last section of the last notebook is about beginning again.
    wanted = SECTIONS[:-1] if notebook.stem.startswith("99") else SECTIONS
    found = [
        (heading, cell)
        for cell in notebook.markdown
        for heading in re.findall(r"^## (.+)$", cell.prose, re.M)
    ]
    headings = [heading for heading, _ in found if heading in wanted]
    if headings != list(wanted):
        cell = found[-1][1] if found else notebook.cells[0]
        yield at(cell, f"the sections must be {', '.join(wanted)}; found: {', '.join(headings)}")


@rule
def objectives_are_mirrored_by_the_recap(notebook: Notebook) -> Iterator[str]:
    goals, recap = notebook.section(SECTIONS[0]), notebook.section(SECTIONS[4])
    if goals is None or recap is None:
        yield f"cell 0: the section '{SECTIONS[0] if goals is None else SECTIONS[4]}' is missing"
        return
    for cell, tense in ((goals, "you will:"), (recap, "you have:")):
        bullets = _bullets(cell)
        if len(bullets) != 3:
            yield at(cell, f"three bullets are wanted, there are {len(bullets)}")
        if not all(_bold(bullet) for bullet in bullets):
            yield at(cell, "each bullet has a key term in bold")
        if tense not in cell.prose:
            yield at(cell, f"the bullets are introduced by '... {tense}'")
    if [_bold(b) for b in _bullets(goals)] != [_bold(b) for b in _bullets(recap)]:
        yield at(recap, "the bold terms must be those of the objectives, in the same order")
    if _bullets(goals) == _bullets(recap):
        yield at(recap, "the recap must be in the past tense")


def _bullets(cell: Cell) -> list[str]:
    return re.findall(r"^\* (.+)$", cell.prose, re.M)


def _bold(bullet: str) -> list[str]:
    return re.findall(r"\*\*(.+?)\*\*", bullet)


@chain_rule
def picture_shows_where_we_are(notebook: Notebook) -> Iterator[str]:
    cell = notebook.section(SECTIONS[0])
    step = int(notebook.stem[:2])
    wanted = f"![{alt(step)}](../docs/pictures/{step:02d}.svg)"
    if cell is None or cell.text.count(wanted) != 1 or cell.text.count("![") != 1:
        yield f"cell 1: the section 'What you will do' has one picture: {wanted}"


@rule
def parameters_are_plain_values(notebook: Notebook) -> Iterator[str]:
    cells = notebook.tagged("parameters")
    if len(cells) != 1 or cells[0] is not notebook.code[0]:
        yield at(notebook.code[0], "one cell is tagged parameters, and it is the first with code")
        return
    lines = cells[0].text.splitlines()
    for line, statement in zip(lines, cells[0].tree, strict=False):
        plain = isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        if not plain or not re.match(r"[A-Z][A-Z_]* = .+  # \S.+", line):
            yield at(cells[0], f"must be 'NAME = value  # comment', a plain value: {line}")
    if len(lines) != len(cells[0].tree):
        yield at(cells[0], "one parameter a line, and nothing else")
    if not lines[0].startswith('TARGET = "auto"  #'):
        yield at(cells[0], 'the first parameter is TARGET = "auto"')


@rule
def parameters_are_used(notebook: Notebook) -> Iterator[str]:
    below = "\n".join(cell.text for cell in notebook.code[1:])
    for name in re.findall(r"^([A-Z_]+) =", notebook.code[0].text, re.M):
        if not re.search(rf"\b{name}\b", below):
            yield at(notebook.code[0], f"{name} is used nowhere")


@rule
def connects_first(notebook: Notebook) -> Iterator[str]:
    second = notebook.code[1]
    if "from workshop import" not in second.text or "target = connect(TARGET)" not in second.text:
        yield at(second, "the second code cell imports from workshop, and connects to TARGET")


@rule
def imports_exist(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.code:
        for line in re.findall(r"^(?:from|import) .+$", cell.text, re.M):
            try:
                exec(line, {})  # noqa: S102
            except ImportError as error:
                yield at(cell, str(error))


@rule
def imports_public_names_alone(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.code:
        if found := re.search(r"^(from|import) workshop\..+$", cell.text, re.M):
            yield at(cell, f"takes what is inside the library: {found[0]}")


@rule
def one_checkpoint_after_the_last_deploy(notebook: Notebook) -> Iterator[str]:
    cells = notebook.tagged("checkpoint")
    if len(cells) != 1:
        yield at(notebook.cells[-1], f"one cell is tagged checkpoint; there are {len(cells)}")
        return
    last = cells[0].tree[-1]
    call = last.value if isinstance(last, ast.Expr) else None
    called = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
    if not VERIFIES.match(called):
        yield at(cells[0], "the checkpoint must end with a verify call: its table is the result")
    for cell in notebook.code[notebook.code.index(cells[0]) + 1 :]:
        if DEPLOYS.search(cell.text):
            yield at(cell, "deploys something after the checkpoint, where nothing proves it")


@rule
def one_exercise_at_the_end(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.tagged("exercise"):
        for step in re.findall(r'check_exercise\(target, "(\d\d)"', cell.text):
            if not notebook.stem.startswith(step):
                yield at(cell, f"checks the exercise of step {step}")
    tagged = [cell.number for cell in notebook.tagged("exercise")]
    last = [cell.number for cell in notebook.code]
    if tagged not in (last[-1:], last[-2:]):
        yield at(notebook.code[-1], "the last code cell is tagged exercise, and at most one before")


@rule
def tags_are_known(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.cells:
        if set(cell.tags) - {"parameters", "checkpoint", "exercise"}:
            yield at(cell, f"unknown tag in {', '.join(cell.tags)}")


@rule
def says_what_you_should_see_and_two_ways_out(notebook: Notebook) -> Iterator[str]:
    text = "\n".join(cell.text for cell in notebook.markdown)
    if not re.search(r"\*\*You should see\*?\*?.*?\n+```text\n", text):
        yield "cell 0: no markdown cell has '**You should see**' with a fenced text below it"
    if len(re.findall(r"^\* \*\*If .+\*\*,? .+", text, re.M)) < 2:
        yield "cell 0: two symptoms with their fixes are wanted: '* **If ...**, ...'"


@rule
def cells_are_small(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.code:
        if cell.lines > 15:
            yield at(cell, f"{cell.lines} lines of code; 15 is the limit")
    if statistics.median(cell.lines for cell in notebook.code) > 4:
        yield at(notebook.code[0], "the median code cell has more than 4 lines")


@rule
def code_is_explained(notebook: Notebook) -> Iterator[str]:
    if len(notebook.markdown) < len(notebook.code):
        yield at(notebook.cells[0], "fewer markdown cells than code cells")
    for cell, after in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        if cell.kind == "code" and (after is None or after.kind != "markdown"):
            yield at(cell, "no text after this code says what to notice")


@rule
def deploying_says_how_long(notebook: Notebook) -> Iterator[str]:
    for before, cell in pairwise(notebook.cells):
        slow = DEPLOYS.search(cell.text) or "checkpoint" in cell.tags
        # One sentence may speak for several cells, as those that ask a question each.
        slow = slow and "agent.ask" not in cell.text
        if slow and not DURATION.search(before.prose):
            yield at(before, "does not say how long the next cell takes")


@rule
def code_is_straight(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.code:
        try:
            tree = cell.tree
        except SyntaxError:
            yield at(cell, "is not plain Python: no '!' and no '%' in a notebook")
            continue
        for node in (found for statement in tree for found in ast.walk(statement)):
            if isinstance(node, LOOPS):
                yield at(cell, f"no loops or conditions in a notebook: {type(node).__name__}")
            if isinstance(node, DEFINITIONS):
                yield at(cell, "no definitions in a notebook: they belong into lib/workshop")
            if isinstance(node, ast.ImportFrom | ast.Import) and "subprocess" in ast.dump(node):
                yield at(cell, "no shell in a notebook")
        if SHELLS.search(cell.text):
            yield at(cell, f"no sleep and no shell in a notebook: {SHELLS.search(cell.text)[0]}")


@rule
def cells_show_something(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.code:
        if "parameters" in cell.tags or cell.text.startswith(("!", "%")):
            continue
        if not cell.text.strip() or not isinstance(cell.tree[-1], ast.Expr):
            yield at(cell, "must end with an expression that shows something")


@rule
def is_stripped(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.cells:
        if cell.raw.get("outputs") or cell.raw.get("execution_count") is not None:
            yield at(cell, "has outputs or a count: make fix")
        if set(cell.raw["metadata"]) - {"tags"}:
            yield at(cell, f"has metadata besides tags: {', '.join(cell.raw['metadata'])}")
        if cell.raw.get("id") != str(cell.number):
            yield at(cell, "its id is not its number: make fix")


@rule
def has_the_common_kernel(notebook: Notebook) -> Iterator[str]:
    raw = notebook.raw
    if (raw["nbformat"], raw["nbformat_minor"]) != (4, 5):
        yield "cell 0: the notebook's format must be 4.5"
    if raw["metadata"] != {"kernelspec": KERNEL}:
        yield "cell 0: the notebook's metadata must be the common kernelspec alone: make fix"
    try:
        nbformat.validate(nbformat.from_dict(raw))
    except nbformat.ValidationError as error:
        yield f"cell 0: not a valid notebook: {error.message}"


@rule
def holds_no_secret(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.cells:
        for what, pattern in SECRETS.items():
            if re.search(pattern, cell.text):
                yield at(cell, f"looks like {what}")


@rule
def knows_no_machine(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.cells:
        if found := re.search(r"(?<![\w.~-])/(home|root|Users|tmp|opt|work)/", cell.text):
            yield at(cell, f"a path of one machine: {found[0]}")


def problems(name: str, path: Path) -> list[str]:
    """What this rule finds wrong, each with the notebook's name and the rule's."""
    return [f"{path.name}, {problem} ({name})" for problem in RULES[name](Notebook(path))]


NOTEBOOKS = [*sorted(FOLDER.glob("*.ipynb")), TEMPLATE]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", RULES)
def test_rule_holds(name: str, path: Path) -> None:
    if path == TEMPLATE and name in ONLY_IN_THE_CHAIN:
        pytest.skip("the template has no place among the numbered notebooks")
    found = problems(name, path)
    assert not found, "\n".join(found)


def test_the_sequence_is_complete() -> None:
    numbers = [int(path.stem[:2]) for path in NOTEBOOKS if path != TEMPLATE]
    assert numbers == [*range(len(numbers) - 1), 99], "the numbers have a gap, or one twice"


def test_the_questions_are_the_librarys() -> None:
    notebook = Notebook(FOLDER / "07_ask_the_agent.ipynb")
    code = "\n".join(cell.text for cell in notebook.code)
    known = questions.QUESTIONS
    asked = re.findall(r'agent\.ask\(\s*"(.+?)"\s*\)', code)
    assert asked == [question.text for question in known], "only these have a known true answer"


# Each break changes one copy of `VICTIM` a little. `cells` are its cells; `by` finds one by its
# tag or by words in it.
VICTIM = "04_deploy_mongodb"
Raw = dict[str, Any]
Break = Callable[[Raw], object]


def by(raw: Raw, words: str) -> Raw:
    """The first cell with this tag, else with these words."""
    cells = raw["cells"]
    tagged = [cell for cell in cells if words in cell["metadata"].get("tags", ())]
    return (tagged or [cell for cell in cells if words in "".join(cell["source"])])[0]


def swap(words: str, old: str, new: str) -> Break:
    """Replace text in the first cell with these words or this tag."""

    def change(raw: Raw) -> None:
        cell = by(raw, words)
        text = "".join(cell["source"])
        assert old in text, f"{old!r} is not there to be replaced"
        cell["source"] = text.replace(old, new)

    return change


def add(words: str, line: str) -> Break:
    """Add a line at the end of a cell."""
    return lambda raw: by(raw, words).update(source="".join(by(raw, words)["source"]) + "\n" + line)


def drop(words: str) -> Break:
    """Remove a cell."""
    return lambda raw: raw["cells"].remove(by(raw, words))


def tag(words: str, *tags: str) -> Break:
    """Give a cell these tags alone."""
    return lambda raw: by(raw, words)["metadata"].update(tags=list(tags))


LOAD = "load_sample_data(target)"
BREAKS: dict[str, list[Break]] = {
    "name_is_two_digits_and_a_verb": [swap("# 4.", "# 4.", "# 5.")],
    "begins_with_one_title_and_two_sentences": [
        swap("# 4.", "# 4.", "## 4."),
        swap("Before you start", "## Before", "# Before"),
        swap("# 4.", "\n\nAbout", " One. Two. Three.\n\nAbout"),
    ],
    "shows_the_way": [
        swap("# 4.", "Step 4 of ", "Step 4 of 1"),
        swap("# 4.", "(03_deploy_llama_stack.ipynb)", "(02_serve_model.ipynb)"),
        swap("# 4.", "Next: [5. Deploy the MCP server]", "Next: [Deploy the MCP server]"),
        swap("# 4.", "About 1 minute. ", ""),
        swap("**Next:", "(05_deploy_mcp_server.ipynb)", "(06_register_mcp_server.ipynb)"),
    ],
    "has_its_sections_in_order": [
        drop("## What you have now"),
        swap("Before you start", "## Before you start", "## What you need"),
    ],
    "objectives_are_mirrored_by_the_recap": [
        swap("What you have now", "**sample data**", "**data**"),
        swap("What you have now", "* loaded", "And loaded"),
        swap("What you will do", "**MongoDB**", "MongoDB"),
        swap("What you have now", "you have:", "you will:"),
        drop("What you have now"),
    ],
    "picture_shows_where_we_are": [
        swap("What you will do", "pictures/04.svg", "pictures/05.svg"),
        swap("What you will do", "This step: MongoDB", "This step: Model"),
        drop("What you will do"),
    ],
    "parameters_are_plain_values": [
        swap("parameters", "= 300 ", "= 5 * 60 "),
        swap("parameters", "  # how long the database may take until it answers", ""),
        swap("parameters", '"auto"', '"cluster"'),
        swap("parameters", "TIMEOUT_SECONDS", "timeout_seconds"),
        add("parameters", "import os"),
        tag("parameters"),
        tag(LOAD, "parameters"),
    ],
    "parameters_are_used": [swap("deploy_mongodb(\n", "timeout=TIMEOUT_SECONDS", "timeout=9")],
    "connects_first": [swap("from workshop import", "connect(TARGET)", 'connect("local")')],
    "imports_exist": [swap("from workshop import", "verify_mongodb", "verify_mongo")],
    "imports_public_names_alone": [
        swap("from workshop import", "from workshop import", "from workshop.parts.mongodb import"),
        add(LOAD, "import workshop.parts.mongodb"),
    ],
    "one_checkpoint_after_the_last_deploy": [
        tag("checkpoint"),
        tag(LOAD, "checkpoint"),
        add("checkpoint", "target.status()"),
        swap("checkpoint", "verify_mongodb(target)", "checks = verify_mongodb(target)"),
        add("exercise", LOAD),
    ],
    "one_exercise_at_the_end": [
        tag("firing = None"),
        tag(LOAD, "exercise"),
        swap("firing = None", '"04"', '"05"'),
    ],
    "tags_are_known": [tag("exercise", "exercise", "raises-exception")],
    "says_what_you_should_see_and_two_ways_out": [
        swap("You should see", "**You should see", "**Look"),
        swap("If the database refused", "* **If the database", "* **Perhaps the database"),
    ],
    "cells_are_small": [
        add("exercise", "\n".join(["found"] * 15)),
        lambda raw: [
            add(words, "1\n2\n3\n4")(raw)
            for words in ("deploy_mongodb(\n", LOAD, "verify_mongodb(", "query_mongodb(")
        ],
    ],
    "code_is_explained": [
        drop("Each row of the table counts"),
        lambda raw: [raw["cells"].pop(), raw["cells"].pop()],
    ],
    "deploying_says_how_long": [swap("Load the sample", "takes less than a second", "is quick")],
    "code_is_straight": [
        add(LOAD, "for part in target.status():\n    part"),
        add(LOAD, "if target:\n    target"),
        add(LOAD, "def help_me():\n    pass"),
        add(LOAD, "import subprocess"),
        add(LOAD, "time.sleep(5)"),
        add(LOAD, "!pip install pymongo"),
        add(LOAD, "%time target.status()"),
    ],
    "cells_show_something": [swap(LOAD, LOAD, f"loaded = {LOAD}"), swap(LOAD, LOAD, "")],
    "is_stripped": [
        lambda raw: by(raw, LOAD).update(execution_count=3),
        lambda raw: by(raw, LOAD)["outputs"].append({"output_type": "stream"}),
        lambda raw: by(raw, LOAD)["metadata"].update(collapsed=True),
        lambda raw: by(raw, LOAD).update(id="a1b2c3"),
    ],
    "has_the_common_kernel": [
        lambda raw: raw["metadata"]["kernelspec"].update(name="venv"),
        lambda raw: raw["metadata"].update(language_info={"version": "3.13.0"}),
        lambda raw: raw.update(nbformat_minor=4),
        lambda raw: by(raw, LOAD).update(execution_count="3"),
    ],
    "holds_no_secret": [
        add(LOAD, 'password = "letmein"'),
        add(LOAD, 'connect("mongodb://workshop:letmein@127.0.0.1")'),
        add(LOAD, '"hf_abcdefghijklmnop"'),
        add(LOAD, "call(verify=False)"),
        add("Before you start", "Use 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b."),
        add("Before you start", "-----BEGIN PRIVATE KEY-----"),
    ],
    "knows_no_machine": [add("You should see", "log /home/me/kit/.workshop/local/log")],
}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param(name, change, id=f"{name}-{number}")
        for name, changes in BREAKS.items()
        for number, change in enumerate(changes)
    ],
)
def test_rule_can_fail(name: str, change: Break, tmp_path: Path) -> None:
    for path in NOTEBOOKS:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    victim = tmp_path / f"{VICTIM}.ipynb"
    assert not problems(name, victim)
    raw = json.loads(victim.read_text(encoding="utf-8"))
    change(raw)
    victim.write_text(json.dumps(raw), encoding="utf-8")
    found = problems(name, victim)
    assert found, "the rule did not notice"
    assert all(re.match(rf"{VICTIM}\.ipynb, cell \d+: .+ \({name}\)", text) for text in found)


def test_every_rule_was_broken_once() -> None:
    assert set(BREAKS) == set(RULES)
