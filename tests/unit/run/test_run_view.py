"""What a run shows in a terminal, and in a file."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from workshop.agent.answer import MIME as ANSWER
from workshop.core.progress import MIME as PROGRESS
from workshop.report import Report, StepReport
from workshop.run.steps import Step
from workshop.run.view import View, plain
from workshop.targets.base import PartStatus


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress(text, *, subject="MongoDB", replaces=False):
    return {PROGRESS: {"subject": subject, "lines": [], "latest": text, "replaces": replaces}}


@pytest.fixture(autouse=True)
def coloured(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def uncoloured(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")


def shown(stream, *displays):
    view = View(stream)
    for display in displays:
        view.display(display)
    return stream.getvalue()


WAITING = (
    progress("0.0 s  starting"),
    progress("1.0 s  waiting: first", replaces=False),
    progress("2.0 s  waiting: second", replaces=True),
    progress("0.1 s  [ OK ] a ping: ok"),
    progress("0.1 s  [FAIL] a count: 39"),
)


def test_a_file_gets_whole_lines_once():
    assert shown(io.StringIO(), *WAITING) == (
        "  MongoDB\n"
        "    0.0 s  starting\n"
        "    1.0 s  waiting: first\n"
        "    0.1 s  [ OK ] a ping: ok\n"
        "    0.1 s  [FAIL] a count: 39\n"
    )


@pytest.mark.usefixtures("uncoloured")
def test_a_terminal_redraws_a_waiting_line():
    text = shown(Terminal(), *WAITING)
    assert "waiting: first\n\x1b[1A\r\x1b[J    2.0 s  waiting: second\n" in text
    assert "\x1b[32m" not in text


@pytest.mark.usefixtures("uncoloured")
def test_a_line_of_another_subject_is_not_redrawn():
    other = progress("9.0 s  other", subject="Model", replaces=True)
    text = shown(Terminal(), *WAITING[:2], other)
    assert "\x1b[1A" not in text
    assert text.endswith("  Model\n    9.0 s  other\n")


def test_marks_are_coloured_in_a_terminal():
    text = shown(Terminal(), *WAITING)
    assert "\x1b[32m[ OK ]\x1b[0m" in text
    assert "\x1b[31;1m[FAIL]\x1b[0m" in text


def test_a_long_line_takes_one_row_in_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    text = shown(Terminal(), progress("[ OK ] " + "x" * 100))
    row = plain(text.splitlines()[1])
    assert row == "    [ OK ] " + "x" * 17 + "…"
    whole = shown(io.StringIO(), progress("[ OK ] " + "x" * 100))
    assert "x" * 100 in whole


def test_a_credential_at_the_end_of_a_row_is_masked_before_the_line_is_cut(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    View(stream, lambda text: text.replace("hunter2", "****")).display(
        progress("x" * 11 + "hunter2")
    )
    assert "hun" not in stream.getvalue()


@pytest.mark.usefixtures("uncoloured")
def test_what_a_log_smuggles_in_does_not_reach_the_terminal():
    evil = "a\x1b]0;title\x07\x1b[2Jb\rc"
    text = shown(Terminal(), progress(evil))
    assert not set("\x07\r\x1b") & set(text)


def test_an_answer_as_it_comes():
    answer = {"question": "How\nmany?", "text": "40", "seconds": 4.25, "grounded": True}
    text = shown(io.StringIO(), {ANSWER: answer | {"tool_calls": []}}, {"text/plain": "ignored"})
    assert text == "       4.2 s  [ OK ] How many?\n              40\n"


def test_the_closing_says_what_stays_and_masks_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stream = io.StringIO()
    view = View(stream, lambda text: text.replace("hunter2", "****"))
    check = {"name": "x", "ok": False, "expected": "", "seen": "", "seconds": 0}
    steps = [
        StepReport("02_serve_model", "failed", 12.34, "broken hunter2\nmore", [check]),
        StepReport("03_next", reason="02_serve_model failed"),
    ]
    call = {"name": "count", "arguments": {}, "ok": True}
    answer = {"question": "How many?", "text": "40", "seconds": 4.0, "grounded": False}
    report = Report("local", "now", steps, 13.0, "failed", [answer | {"tool_calls": [call]}])
    view.failure(steps[0], ["\x1b[31mTraceback\x1b[0m"], Path("/nowhere/02.ipynb"))
    part = PartStatus("model", "running", "http://127.0.0.1:8080", "")
    view.closing(report, tmp_path / "runs" / "index.html", [part])
    assert stream.getvalue() == (
        "\n02_serve_model failed\n  broken ****\n  more\n  | Traceback\n"
        "\nstep            status    seconds  checks\n"
        "02_serve_model  failed       12.3     0/1  broken ****\n"
        "03_next         not run         -       -  02_serve_model failed\n"
        "\nanswers: 0 of 1 grounded\n"
        "  [FAIL] How many?\n         count, 4.0 s\n         40\n"
        "\nThe run failed after 13.0 s. Report: runs/index.html\n"
        "The parts keep running: workshop status; stop them: workshop stop\n"
        "  model  http://127.0.0.1:8080\n"
    )


@pytest.mark.parametrize(("count", "text"), [(1, "1 step"), (2, "2 steps")])
def test_the_beginning(count, text, tmp_path):
    stream = io.StringIO()
    View(stream).begin("local", [Step(Path("00_a.ipynb"))] * count, tmp_path)
    assert stream.getvalue() == f"workshop run: {text} on the local target\nreport: {tmp_path}\n"
