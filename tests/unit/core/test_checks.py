"""A check is one fact that was tested."""

from __future__ import annotations

import json

import nbclient
import nbformat
import pytest
from workshop.core import progress
from workshop.core.checks import MIME, Check, Checks
from workshop.core.errors import CheckFailed, EndpointError


@pytest.fixture(autouse=True)
def lines():
    """Progress goes here, not to stderr."""

    class Lines:
        def __init__(self):
            self.seen = []

        def line(self, subject, text, *, replaces):
            self.seen.append((subject, text, replaces))

    sink = Lines()
    progress.use(sink)
    yield sink.seen
    progress.use(None)


def refuse():
    raise EndpointError("The port refuses.", where="127.0.0.1:1", hint="make run")


def test_a_passed_check_gives_what_was_seen(lines):
    checks = Checks("MongoDB")
    assert checks.equal("incidents", 40, lambda: 40) == 40
    assert checks.that("a name", "any", lambda: "api") == "api"
    assert bool(checks) is True
    assert len(checks) == 2
    assert checks.raise_if_failed() is checks
    assert [(check.name, check.ok, check.expected, check.seen) for check in checks] == [
        ("incidents", True, "40", "40"),
        ("a name", True, "any", "api"),
    ]
    assert [(subject, text[10:], replaces) for subject, text, replaces in lines] == [
        ("MongoDB", "[ OK ] incidents: 40", False),
        ("MongoDB", "[ OK ] a name: api", False),
    ]


def test_failed_checks_are_all_named(lines):
    checks = Checks("MongoDB")
    checks.equal("incidents", 40, lambda: 41)
    checks.equal("services", 12, lambda: 12)
    checks.that("an alert", "one of them", list, hint="run 04_deploy_mongodb")
    assert bool(checks) is False
    with pytest.raises(CheckFailed) as error:
        checks.raise_if_failed()
    assert str(error.value) == (
        "MongoDB: 2 of 3 checks failed.\n"
        "  Last state: incidents: expected 40, saw 41; an alert: expected one of them, saw []\n"
        "  Hint: run 04_deploy_mongodb"
    )
    assert [text[10:] for _, text, _ in lines] == [
        "[FAIL] incidents: 41",
        "[ OK ] services: 12",
        "[FAIL] an alert: []",
    ]


def test_without_a_hint_the_table_is_the_hint():
    checks = Checks("MongoDB")
    checks.equal("incidents", 40, lambda: 41)
    with pytest.raises(CheckFailed) as error:
        checks.raise_if_failed()
    assert error.value.hint == "fix what the table above shows, then run this notebook again"


def test_an_error_of_the_part_is_a_failed_check_and_the_others_still_run():
    checks = Checks("MCP server")
    assert checks.that("initialize", "answers", refuse, hint="another") is None
    assert checks.equal("tools", 3, lambda: 3) == 3
    failed, passed = checks
    assert (failed.ok, passed.ok) == (False, True)
    assert failed.seen == "The port refuses. Where: 127.0.0.1:1 Hint: make run"
    with pytest.raises(CheckFailed) as error:
        checks.raise_if_failed()
    assert error.value.hint == "make run"


def test_a_fault_of_the_kit_passes_through():
    with pytest.raises(ZeroDivisionError):
        Checks("MongoDB").that("x", "y", lambda: 1 / 0)
    with pytest.raises(KeyboardInterrupt):
        Checks("MongoDB").that("x", "y", lambda: (_ for _ in ()).throw(KeyboardInterrupt))


def test_nothing_checked_is_no_success():
    checks = Checks("MongoDB")
    assert bool(checks) is False
    with pytest.raises(CheckFailed, match=r"^MongoDB: nothing was checked\.$"):
        checks.raise_if_failed()


def test_a_skipped_checkpoint_says_why():
    checks = Checks.skip("GPU nodes", "this machine has no machines to add")
    assert checks.raise_if_failed() is checks
    assert bool(checks) is True
    assert repr(checks) == "GPU nodes: skipped: this machine has no machines to add"
    assert checks.as_dict() == {
        "subject": "GPU nodes",
        "skipped": "this machine has no machines to add",
        "checks": [],
    }


def test_what_the_report_stores_is_json():
    checks = Checks("MongoDB")
    checks.add(Check("incidents", True, "40", "40", 0.25))
    stored = json.loads(json.dumps(checks.as_dict()))
    assert stored == {
        "subject": "MongoDB",
        "skipped": "",
        "checks": [
            {"name": "incidents", "ok": True, "expected": "40", "seen": "40", "seconds": 0.25}
        ],
    }


def test_the_table_lines_up_and_says_what_was_expected():
    checks = Checks("MongoDB")
    checks.equal("incidents", 40, lambda: 40)
    checks.equal("all services", 12, lambda: 11)
    assert repr(checks) == (
        "MongoDB\n[ OK ] incidents     40\n[FAIL] all services  11  (expected 12)"
    )


def test_html_from_a_part_is_shown_and_not_run():
    checks = Checks("<b>")
    checks.that("<i>", "<u>", lambda: "<script>alert(1)</script>")
    shown = checks._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<i>" not in shown
    assert "<script>" not in Checks.skip("x", "<script>")._repr_html_()


def test_a_long_value_is_cut_and_put_on_one_line():
    checks = Checks("Model")
    checks.that("a chat", "an answer", lambda: "word\n" * 1000)
    (check,) = checks
    assert len(check.seen) == 400
    assert check.seen.startswith("word word word")
    assert check.seen.endswith("…")


def test_what_is_shown_can_be_chosen():
    checks = Checks("Model")
    assert checks.that("a chat", "an answer", lambda: {"text": "hi"}, show=lambda s: s["text"]) == {
        "text": "hi"
    }
    assert next(iter(checks)).seen == "hi"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("seen", "fails"), [(40, False), (41, True)])
def test_a_checkpoint_cell_shows_its_table_whether_it_passes_or_fails(seen, fails):
    source = (
        "from workshop.core.checks import Checks\n"
        "checks = Checks('MongoDB')\n"
        f"checks.equal('incidents', 40, lambda: {seen})\n"
        "checks.raise_if_failed()"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, allow_errors=True, kernel_name="python3").execute()
    nbformat.validate(notebook)
    outputs = notebook.cells[0].outputs
    (table,) = [output.data for output in outputs if MIME in output.get("data", {})]
    assert table[MIME]["checks"][0]["seen"] == str(seen)
    assert table[MIME]["checks"][0]["ok"] is not fails
    assert "<table>" in table["text/html"]
    assert table["text/plain"].startswith("MongoDB\n[")
    assert [output.ename for output in outputs if output.output_type == "error"] == (
        ["CheckFailed"] if fails else []
    )


def test_what_was_seen_keeps_its_lines_and_indents():
    checks = Checks("Environment")
    checks.add(Check("permissions", False, "all", "2 are missing:\n  pods  get", 0.1))
    cell = "<td style='text-align:left;white-space:pre-wrap'>2 are missing:\n  pods  get</td>"
    assert cell in checks._repr_html_()
