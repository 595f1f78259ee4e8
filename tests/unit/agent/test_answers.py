"""An answer as people, the report and the runner see it."""

from __future__ import annotations

import json

import pytest
from workshop.agent.answer import MIME, SHOWN, Answer, NotAsked, Tokens, ToolCall

CALL = ToolCall("count", {"collection": "incidents", "query": {"status": "open"}}, True, "Found 11")


def answer(**more):
    fields = {
        "question": "How many incidents are open?",
        "text": "There are 11.",
        "seconds": 4.256,
        "tool_calls": (CALL,),
        "grounded": True,
        "proof": "pymongo gives the same",
    }
    return Answer(**(fields | more))


def test_the_table_has_everything_in_order():
    assert repr(answer()) == (
        "Question: How many incidents are open?\n"
        'Tool:     count {"collection": "incidents", "query": {"status": "open"}}\n'
        "Result:   Found 11\n"
        "Answer:   There are 11.\n"
        "Proof:    grounded: pymongo gives the same\n"
        "Time:     4.3 s"
    )


def test_where_the_tokens_are_counted_the_time_says_what_it_was_spent_on():
    counted = answer(tokens=Tokens(read=2310, known=2100, written=74))
    assert repr(counted).endswith("\nTime:     4.3 s: 210 new tokens read, 74 written")
    assert "4.3 s: 210 new tokens read, 74 written" in counted._repr_html_()
    uncached = answer(tokens=Tokens(read=2310, known=None, written=74))
    assert uncached.time == "4.3 s: 2310 tokens read, 74 written"


def test_a_failed_call_and_a_missing_proof_catch_the_eye():
    failed = ToolCall("count", {}, False, "not connected")
    bad = answer(tool_calls=(failed, CALL), grounded=False, proof="count failed")
    assert "Tool:     count {}  FAILED\nResult:   not connected\nTool:" in repr(bad)
    assert "Proof:    NOT GROUNDED: count failed\n" in repr(bad)
    page = bad._repr_html_()
    assert "<code>count</code> <b>failed</b>" in page
    assert "&#10007; <b>not grounded</b>: count failed" in page
    assert "&#10003; grounded: pymongo gives the same" in answer()._repr_html_()


def test_a_long_result_is_cut_in_what_people_see():
    long = answer(tool_calls=(ToolCall("find", {}, True, "x" * 5000),))
    assert f"Result:   {'x' * 199}…\n" in repr(long)
    assert f">{'x' * (SHOWN - 1)}…</pre>" in long._repr_html_()


def test_what_a_model_or_the_data_says_is_no_markup():
    evil = "<script>alert(1)</script>"
    call = ToolCall(evil, {evil: evil}, True, evil)
    page = answer(question=evil, text=evil, proof=evil, tool_calls=(call,))._repr_html_()
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 7
    assert "a<br>b" in answer(text="a\nb")._repr_html_()


def test_the_report_stores_it_without_the_tools_results():
    stored = answer().as_dict()
    assert stored == {
        "question": "How many incidents are open?",
        "text": "There are 11.",
        "seconds": 4.26,
        "grounded": True,
        "proof": "pymongo gives the same",
        "tool_calls": [
            {
                "name": "count",
                "arguments": {"collection": "incidents", "query": {"status": "open"}},
                "ok": True,
            }
        ],
    }
    assert json.loads(json.dumps(stored)) == stored


def test_a_notebook_gets_all_three_forms():
    shown = answer()
    assert shown._repr_mimebundle_() == {
        MIME: shown.as_dict(),
        "text/html": shown._repr_html_(),
        "text/plain": repr(shown),
    }


def test_an_answer_without_a_call():
    assert repr(answer(tool_calls=())).splitlines()[1] == "Answer:   There are 11."
    assert answer(tool_calls=()).as_dict()["tool_calls"] == []


def test_an_answer_does_not_change_afterwards():
    with pytest.raises(AttributeError):
        answer().grounded = True


def test_a_question_that_was_left_out_says_why():
    left_out = NotAsked("How many?", "this run is without MongoDB")
    assert repr(left_out) == "Not asked: How many? (this run is without MongoDB)"
