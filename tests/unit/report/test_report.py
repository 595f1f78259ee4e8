"""What a run leaves behind."""

from __future__ import annotations

import json

import pytest
from workshop.agent.answer import MIME as ANSWER
from workshop.core.checks import MIME as CHECKS
from workshop.core.errors import WorkshopError
from workshop.core.plots import MIME as PLOT
from workshop.core.secret import Secret
from workshop.report import NO_ANSWER, NO_CHECK, Folder, Report, StepReport, judge, plotted

CHECK = {"name": "a ping", "ok": True, "expected": "ok", "seen": "ok", "seconds": 0.1}
CALL = {"name": "count", "arguments": {"a": 1}, "ok": True}
ANSWERED = {
    **{"question": "How many?", "text": "40", "seconds": 1.0, "grounded": True},
    **{"proof": "counted", "tool_calls": [CALL]},
}

PLOTTED = {"title": "Load", "x": "s", "panels": []}


def executed(*displays):
    outputs = [
        {"output_type": "display_data", "data": {mime: data, "image/png": "cGl4ZWxz"}}
        for mime, data in displays
    ]
    stream = {"output_type": "stream", "name": "stdout", "text": "x"}
    return {
        "cells": [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": [stream, *outputs]}]
    }


def checks(*found, skipped=""):
    return (CHECKS, {"subject": "Part", "skipped": skipped, "checks": list(found)})


def verdict(notebook, failure=None, name="02_x"):
    step = StepReport(name)
    judge(step, notebook, failure)
    return step.status, step.reason


def test_a_step_passes_by_its_checks():
    step = StepReport("02_x")
    assert judge(step, executed(checks(CHECK), checks(CHECK)), None) == []
    assert (step.status, step.reason, step.checks) == ("passed", None, [CHECK, CHECK])


def test_a_step_that_checked_nothing_fails():
    assert verdict(executed()) == ("failed", NO_CHECK)


def test_a_step_is_skipped_with_its_reason():
    assert verdict(executed(checks(skipped="no GPU here"))) == ("skipped", "no GPU here")


def test_one_skipped_checkpoint_beside_a_real_one():
    assert verdict(executed(checks(skipped="no GPU"), checks(CHECK))) == ("passed", None)


def test_a_failed_check_fails_the_step_even_when_nothing_was_raised():
    bad = CHECK | {"ok": False}
    assert verdict(executed(checks(CHECK, bad))) == ("failed", "failed checks: a ping")


def test_the_error_comes_first():
    bad = CHECK | {"ok": False}
    assert verdict(executed(checks(bad)), "it broke") == ("failed", "it broke")


def test_answers_count_only_with_a_tool_call_and_proof():
    good = (ANSWER, ANSWERED)
    assert verdict(executed(good, checks(CHECK)), name="07_ask") == ("passed", None)
    assert verdict(executed(checks(CHECK)), name="07_ask") == ("failed", NO_ANSWER)
    assert verdict(executed(checks(skipped="why")), name="07_ask") == ("skipped", "why")
    untold = (ANSWER, ANSWERED | {"tool_calls": []})
    wrong = (ANSWER, ANSWERED | {"grounded": False})
    assert verdict(executed(untold, wrong, checks(CHECK)), name="07_ask") == (
        "failed",
        "no tool was called for 'How many?'; not grounded: 'How many?'",
    )
    # In whatever notebook it is.
    assert verdict(executed(untold, checks(CHECK)))[0] == "failed"


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ([], "failed"),
        ([("passed", None)], "passed"),
        ([("passed", None), ("skipped", "why")], "passed"),
        ([("passed", None), ("skipped", None)], "failed"),
        ([("passed", None), ("not run", None)], "failed"),
        ([("passed", None), ("failed", "x")], "failed"),
    ],
)
def test_a_run_passes_when_each_step_passed_or_was_skipped_with_a_reason(steps, status):
    report = Report("local", "now", [StepReport("x", s, 0.0, reason) for s, reason in steps])
    report.conclude()
    assert report.status == status


def test_the_schema(tmp_path):
    step = StepReport("07_x", "passed", 1.5, None, [CHECK])
    report = Report("local", "2026-11-24T03:00:00+00:00", [step], 2.345678, "passed", [ANSWERED])
    report.plots = plotted(StepReport("09_x"), executed((PLOT, PLOTTED), checks(CHECK)))
    assert report.as_dict() == {
        "schema": 1,
        "target": "local",
        "started": "2026-11-24T03:00:00+00:00",
        "seconds": 2.35,
        "status": "passed",
        "steps": [
            {
                "notebook": "07_x",
                "status": "passed",
                "seconds": 1.5,
                "reason": None,
                "checks": [CHECK],
            }
        ],
        "answers": [{key: ANSWERED[key] for key in ANSWERED if key != "proof"}],
        "plots": [{"notebook": "09_x", **PLOTTED}],
    }
    assert [plot["png"] for plot in report.plots] == ["cGl4ZWxz"]


def test_latest_points_at_the_newest(tmp_path):
    runs = tmp_path / "runs"
    first, second = Folder(runs, list), Folder(runs, list)
    assert first.path != second.path
    assert (runs / "latest").resolve() == second.path
    assert (runs / "latest").readlink() == second.path.relative_to(runs)
    assert second.path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("secret", ["plain-canary", "q\"canary'&<\\é"])
def test_whatever_is_written_is_masked(tmp_path, secret):
    folder = Folder(tmp_path, lambda: [Secret(secret)])
    content = {"text": f"a {secret} b", "list": [{secret: 1}, [secret]], "number": 1}
    path = folder.write_json("x.json", content)
    assert json.loads(path.read_text()) == {
        "text": "a **** b",
        "list": [{"****": 1}, ["****"]],
        "number": 1,
    }
    from html import escape

    text = folder.write("x.html", f"<p>{escape(secret)}</p> {json.dumps(secret)}").read_text()
    assert text == '<p>****</p> "****"\n'
    assert sorted(p.name for p in folder.path.iterdir()) == ["x.html", "x.json"]


def test_a_report_that_cannot_be_written(tmp_path):
    (tmp_path / "runs").write_text("a file in its place")
    with pytest.raises(WorkshopError) as error:
        Folder(tmp_path / "runs", list)
    assert str(error.value).startswith("The report could not be written.\n  Where: ")
    assert "Hint: free space on that disk, or set WORKSHOP_HOME" in str(error.value)
    folder = Folder(tmp_path / "other", list)
    (folder.path / "report.json").mkdir()
    with pytest.raises(WorkshopError, match=r"could not be written.\n  Where: .*report\.json"):
        folder.write_json("report.json", {})
