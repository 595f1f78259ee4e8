"""Progress that people can follow: in a notebook, in a terminal, and by the runner."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import termios
import threading

import nbclient
import nbformat
import papermill
import pytest
from workshop.core import progress
from workshop.core.checks import Check, Checks
from workshop.core.progress import MIME, Stages, Terminal, stages

pytestmark = pytest.mark.timeout(120)


class Lines:
    """A sink that keeps what it is told, without the seconds."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bool]] = []

    def line(self, subject: str, text: str, *, replaces: bool) -> None:
        assert re.match(r" *\d+\.\d s  ", text)
        self.seen.append((subject, text[10:], replaces))


@pytest.fixture
def lines():
    sink = Lines()
    progress.use(sink)
    yield sink.seen
    progress.use(None)


CHECK = Check("a ping", True, "ok", "ok", 0.1)


# --- what is said --------------------------------------------------------------------------------


def test_stages_are_lines_and_waiting_updates_one(lines):
    with stages("MongoDB") as stage:
        stage("starting")
        stage.waiting("waiting: a")
        stage.waiting("waiting: b")
        stage("answering")
        stage.waiting("waiting: c")
    assert lines == [
        ("MongoDB", "starting", False),
        ("MongoDB", "waiting: a", False),
        ("MongoDB", "waiting: b", True),
        ("MongoDB", "answering", False),
        ("MongoDB", "waiting: c", False),
    ]
    assert 0 <= stage.seconds < 5


def test_work_that_is_stopped_says_by_what(lines):
    with pytest.raises(KeyboardInterrupt), stages("MongoDB"):
        raise KeyboardInterrupt
    assert lines[-1] == ("MongoDB", "stopped: KeyboardInterrupt", False)


def test_a_waiting_line_never_takes_the_place_of_a_check(lines):
    stage = Stages("MongoDB")
    stage.waiting("a")
    Checks("MongoDB").add(CHECK)
    stage.waiting("b")
    assert [(text, replaces) for _, text, replaces in lines] == [
        ("a", False),
        ("[ OK ] a ping: ok", False),
        ("b", False),
    ]


def test_a_waiting_line_never_takes_the_place_of_earlier_work_on_the_subject(lines):
    Stages("MongoDB").waiting("a")
    Stages("MongoDB").waiting("b")
    assert [replaces for _, _, replaces in lines] == [False, False]


def test_work_at_the_same_time_loses_no_line(lines):
    def work(name):
        stage = Stages(name)
        for number in range(200):
            stage.waiting(str(number))

    threads = [threading.Thread(target=work, args=(f"part {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        mine = [(text, new) for subject, text, new in lines if subject == f"part {number}"]
        assert mine == [(str(n), n > 0) for n in range(200)]


# --- in a terminal -------------------------------------------------------------------------------


def test_outside_a_notebook_it_goes_to_stderr(capsys):
    assert isinstance(progress.sink(), Terminal)
    with stages("MongoDB") as stage:
        stage("starting")
        stage.waiting("a")
        stage.waiting("b")
    progress.show(CHECK)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.sub(r"\d", "0", shown.err) == ("MongoDB:    0.0 s  starting\nMongoDB:    0.0 s  a\n")
    progress.use(None)


ON_A_TERMINAL = """
from workshop.core.progress import Stages
from workshop.core.checks import Check, Checks
one, two = Stages("one"), Stages("two")
one("starting")
one.waiting("a")
one.waiting("b " + "long " * 20)
one.waiting("c")
two.waiting("d")
one.waiting("e")
one.waiting("f")
Checks("one").add(Check("a ping", True, "ok", "ok", 0.1))
raise SystemExit("the end")
"""


def test_on_a_terminal_a_waiting_line_is_redrawn_and_the_last_line_is_ended():
    shown = _screen(_on_a_terminal(ON_A_TERMINAL, columns=40), columns=40)
    assert [re.sub(r" +\d+\.\d s  ", " ", line) for line in shown] == [
        *("one: starting", "one: c", "two: d", "one: f", "one: [ OK ] a ping: ok"),
        "the end",
    ]


def _on_a_terminal(source: str, *, columns: int) -> str:
    """What a program writes to a terminal of that width."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, columns))
    child = subprocess.Popen(
        [sys.executable, "-c", source],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "COLUMNS": str(columns)},
    )
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 4096):
            written += piece
    except OSError:
        # Linux says EIO when the other side has gone.
        pass
    os.close(ours)
    child.wait()
    return written.decode()


def _screen(written: str, *, columns: int) -> list[str]:
    """What stands on the screen then, of the few control sequences that are used."""
    rows, row, column = [""], 0, 0
    for piece in re.findall(r"\x1b\[\d*[AJ]|[^\x1b]", written):
        if piece.startswith("\x1b") and piece.endswith("A"):
            row -= int(piece[2:-1])
        elif piece == "\x1b[J":
            rows[row] = rows[row][:column]
            del rows[row + 1 :]
        elif piece == "\r":
            column = 0
        elif piece == "\n":
            row += 1
            rows.extend([""] * (row + 1 - len(rows)))
        else:
            if column == columns:
                row, column = row + 1, 0
                rows.extend([""] * (row + 1 - len(rows)))
            rows[row] = rows[row][:column].ljust(column) + piece + rows[row][column + 1 :]
            column += 1
    return [line for line in rows if line]


# --- in a notebook -------------------------------------------------------------------------------

IN_A_NOTEBOOK = """
import threading
from workshop.core.checks import Check, Checks
from workshop.core.progress import stages
with stages("MongoDB") as one, stages("Model <b>") as two:
    one("starting")
    one.waiting("waiting: a")
    two("loading")
    one.waiting("waiting: b")
    thread = threading.Thread(target=two, args=("loaded",))
    thread.start()
    thread.join()
    Checks("MongoDB").add(Check("a ping", True, "ok", "ok", 0.1))
"""
AGAIN = "with stages('MongoDB') as one:\n    one('reused')"


def _notebook():
    cells = [nbformat.v4.new_code_cell(source) for source in (IN_A_NOTEBOOK, AGAIN)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "x", "language": "python"}
    return notebook


def _assert_updated_in_place(notebook):
    first, second = notebook.cells
    assert {output.output_type for output in first.outputs} == {"display_data"}
    mongodb, model = (output.data for output in first.outputs)
    texts = [line[10:] for line in mongodb[MIME]["lines"]]
    assert texts == ["starting", "waiting: b", "[ OK ] a ping: ok"]
    assert mongodb[MIME]["subject"] == "MongoDB"
    assert mongodb[MIME]["latest"] == mongodb[MIME]["lines"][-1]
    assert mongodb[MIME]["replaces"] is False
    assert mongodb["text/plain"].split("\n") == ["MongoDB", *mongodb[MIME]["lines"]]
    assert [line[10:] for line in model[MIME]["lines"]] == ["loading", "loaded"]
    assert model["text/html"].startswith("<pre><b>Model &lt;b&gt;</b>")
    (again,) = (output.data for output in second.outputs)
    assert [line[10:] for line in again[MIME]["lines"]] == ["reused"]


def test_a_notebook_shows_one_output_a_subject_updated_in_place():
    notebook = _notebook()
    seen = []

    class Client(nbclient.NotebookClient):
        """Keeps the messages, as the runner reads them while a notebook runs."""

        def process_message(self, message, *arguments):
            if MIME in message["content"].get("data", {}):
                content = message["content"]["data"][MIME]
                seen.append((message["msg_type"], content["latest"][10:], content["replaces"]))
            return super().process_message(message, *arguments)

    Client(notebook, timeout=60, kernel_name="python3").execute()
    nbformat.validate(notebook)
    _assert_updated_in_place(notebook)
    assert seen == [
        ("display_data", "starting", False),
        ("update_display_data", "waiting: a", False),
        ("display_data", "loading", False),
        ("update_display_data", "waiting: b", True),
        ("update_display_data", "loaded", False),
        ("update_display_data", "[ OK ] a ping: ok", False),
        ("display_data", "reused", False),
    ]


def test_a_notebook_shows_what_is_being_checked_until_it_is():
    code = """
import threading
from workshop.core.checks import Checks
from workshop.core.progress import Notebook

draw, drawn, again = Notebook.pending, [], threading.Event()
def pending(*arguments):
    draw(*arguments)
    drawn.append(arguments)
    if len(drawn) > 1:
        again.set()
Notebook.pending = pending

checks = Checks("Model")
checks.equal("calls a tool", 1, lambda: int(again.wait(30)))
checks.equal("counts", 2, lambda: 2)
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    shown = []

    class Client(nbclient.NotebookClient):
        def process_message(self, message, *arguments):
            data = message["content"].get("data", {})
            if "text/plain" in data:
                rows = data["text/plain"].split("\n")[1:]
                shown.append(([row[10:] for row in rows], MIME in data))
            return super().process_message(message, *arguments)

    Client(notebook, timeout=60, kernel_name="python3").execute()
    assert shown[:5] == [
        (["testing: calls a tool"], False),
        (["testing: calls a tool"], False),
        (["[ OK ] calls a tool: 1"], True),
        (["[ OK ] calls a tool: 1", "testing: counts"], False),
        (["[ OK ] calls a tool: 1", "[ OK ] counts: 2"], True),
    ]


def test_what_papermill_writes_is_valid_and_holds_the_progress(tmp_path):
    nbformat.write(_notebook(), tmp_path / "in.ipynb")
    papermill.execute_notebook(
        str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb"), progress_bar=False
    )
    written = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    nbformat.validate(written)
    _assert_updated_in_place(written)


def test_a_program_that_has_loaded_a_kernel_s_code_is_no_notebook():
    source = (
        "import ipykernel.kernelapp\n"
        "from workshop.core.progress import Stages, show\n"
        "Stages('MongoDB')('starting')\n"
        "show('nothing')"
    )
    seen = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    assert seen.stdout == ""
    assert seen.stderr == "MongoDB:    0.0 s  starting\n"


def test_the_core_is_imported_without_ipython():
    source = (
        "import sys, workshop.core.checks, workshop.core.wait, workshop.core.errors\n"
        "import workshop.targets.base\n"
        "from workshop.core import progress\n"
        "progress.sink()\n"
        "sys.exit(', '.join({'IPython', 'ipykernel', 'httpx'} & set(sys.modules)) or 0)"
    )
    seen = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (seen.returncode, seen.stderr) == (0, "")


class Watched(Terminal):
    """A terminal that keeps what was being done, and says when it was told so again."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.again = threading.Event()

    def pending(self, subject: str, text: str) -> None:
        self.told.append(text)
        if len(self.told) > 1:
            self.again.set()


def test_a_check_that_takes_long_says_for_how_long():
    sink = Watched()
    progress.use(sink)
    assert Checks("Part").that("it answers", "yes", lambda: sink.again.wait(30))
    assert sink.told[0] == "   0.0 s  testing: it answers"
    assert re.fullmatch(r" +[1-9]\.\d s  testing: it answers", sink.told[1])


def test_what_is_pending_goes_when_a_line_comes(monkeypatch):
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Tty())
    terminal = Terminal()
    terminal.pending("Part", "testing: it answers")
    terminal.line("Part", "ready", replaces=False)
    terminal.line("Part", "done", replaces=False)
    clear = "\r\x1b[K"
    assert (
        sys.stderr.getvalue() == f"{clear}Part: testing: it answers{clear}Part: ready\nPart: done\n"
    )


def test_where_nobody_looks_nothing_is_pending(capsys):
    Terminal().pending("Part", "testing: it answers")
    assert capsys.readouterr().err == ""
