"""An error says what, where, the last state, the log's end, and how to go on."""

from __future__ import annotations

import nbclient
import nbformat
import pytest
from workshop.core.errors import EndpointError, PartFailed, WorkshopError


def test_the_text_has_every_line_in_its_order():
    error = PartFailed(
        "MongoDB ended.",
        where="/state/local/mongodb/log",
        state="ended with exit code 3",
        log=["one", "two"],
        hint="workshop logs mongodb",
    )
    assert str(error) == (
        "MongoDB ended.\n"
        "  Where: /state/local/mongodb/log\n"
        "  Last state: ended with exit code 3\n"
        "  Last log lines:\n"
        "    one\n"
        "    two\n"
        "  Hint: workshop logs mongodb"
    )


def test_lines_that_nobody_gave_are_left_out():
    assert str(WorkshopError("It did not work.")) == "It did not work."


def test_a_state_of_several_lines_stays_one_block():
    error = WorkshopError("Two.", state="a: b\nc: d", hint="e")
    assert str(error) == "Two.\n  Last state: a: b\n    c: d\n  Hint: e"


def test_only_the_end_of_a_long_log_is_shown():
    error = WorkshopError("Much.", log=[f"line {number}" for number in range(100)])
    assert error.log == tuple(f"line {number}" for number in range(88, 100))
    assert str(error).count("\n") == 13


def test_a_long_log_line_is_cut():
    shown = str(WorkshopError("Long.", log=["x" * 10_000, "y" * 300])).split("\n")
    assert shown[2] == "    " + "x" * 299 + "…"
    assert shown[3] == "    " + "y" * 300


def test_the_kind_of_an_endpoint_error() -> None:
    assert EndpointError("No.").of_kind("refused").kind == "refused"
    assert EndpointError("No.").kind == "protocol"


@pytest.mark.timeout(60)
def test_an_error_in_other_words_keeps_the_rest():
    error = EndpointError("It failed.", where="here", log=["a"]).of_kind("tls")
    told = error.but(state="ended", hint="start it")
    assert (type(told), told.kind, told.log) == (EndpointError, "tls", ("a",))
    assert str(told).splitlines()[1:3] == ["  Where: here", "  Last state: ended"]
    assert told.hint == "start it"
    assert not error.hint


def test_a_notebook_shows_the_message_alone():
    source = (
        "from workshop.core.errors import StepMissing\n"
        "raise StepMissing('MongoDB is not there.', hint='run 04_deploy_mongodb') from OSError()"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, allow_errors=True, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert output.ename == "StepMissing"
    assert output.evalue == "MongoDB is not there.\n  Hint: run 04_deploy_mongodb"
    assert output.traceback == [f"StepMissing: {output.evalue}"]
