"""What calls and answers are worth: exact, right with something superfluous, or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from workshop.agent.answer import FILE_SEARCH, ToolCall
from workshop.core.settings import DATA
from workshop.evaluate.scoring import (
    EXACT,
    EXTRAS,
    WRONG,
    score_calls,
    score_unanswerable,
    score_write,
)

RUNBOOKS = DATA / "runbooks"
OPEN = {"status": "open"}


def count(query: Any = None, *, result: int = 11, ok: bool = True, **more: Any) -> ToolCall:
    arguments = {"connectionId": "preconfigured", "database": "mcp_demo", "collection": "incidents"}
    if query is not None:
        arguments["query"] = query
    return ToolCall("count", {**arguments, **more}, ok, f"Found {result} documents")


def find(**arguments: Any) -> ToolCall:
    result = arguments.pop("result", '[{"incident_id":"INC-008","status":"open"}]')
    return ToolCall("find", {"collection": "incidents", **arguments}, True, result)


def aggregate(*pipeline: Any, result: str = '[{"n":11}]') -> ToolCall:
    arguments = {"collection": "incidents", "pipeline": list(pipeline)}
    return ToolCall("aggregate", arguments, True, result)


def search(runbook: str) -> ToolCall:
    text = (RUNBOOKS / runbook).read_text(encoding="utf-8")
    return ToolCall(FILE_SEARCH, {"queries": ["what to do"]}, True, json.dumps([text]))


def points(wanted: ToolCall | list[ToolCall], *seen: ToolCall, truth: str = "11") -> float:
    form = [wanted] if isinstance(wanted, ToolCall) else wanted
    forms = [tuple((call.name, call.arguments) for call in form)]
    return score_calls(forms, seen, [truth], RUNBOOKS).points


# --- calls that ask the same ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "seen",
    [
        count(OPEN),
        count({"status": {"$eq": "open"}}),
        count({"status": {"$in": ["open"]}}),
        count({"$and": [{"status": "open"}]}),
        count(OPEN, responseBytesLimit=100),
        aggregate({"$match": OPEN}, {"$count": "total"}),
        aggregate({"$match": OPEN}, {"$group": {"_id": None, "all": {"$sum": 1}}}),
        aggregate({"$match": OPEN}, {"$group": {"_id": None, "all": {"$count": {}}}}),
    ],
)
def test_exact_in_whatever_words(seen: ToolCall) -> None:
    assert points(count(OPEN), seen) == EXACT


def test_the_order_of_keys_is_none_and_the_order_of_a_sort_is_one() -> None:
    both = {"severity": "critical", "status": "open"}
    assert points(count(both), count(dict(reversed(both.items())))) == EXACT
    ordered = find(sort={"opened_at": 1, "service": 1})
    assert points(ordered, ordered, truth="INC-008") == EXACT
    turned = find(sort={"service": 1, "opened_at": 1})
    assert points(ordered, turned, truth="INC-008") == WRONG


@pytest.mark.parametrize(
    "more",
    [{}, {"limit": 1}, {"limit": 10}, {"sort": {"opened_at": 1}, "limit": 1}],
)
def test_a_document_by_its_id_is_one_document(more: dict[str, Any]) -> None:
    for name in ("incident_id", "_id"):
        seen = find(filter={name: "INC-008"}, **more)
        assert points(find(filter={"incident_id": "INC-008"}), seen, truth="INC-008") == EXACT


def test_a_pipeline_may_name_its_fields_as_it_likes() -> None:
    wanted = aggregate({"$group": {"_id": "$service", "n": {"$sum": 1}}}, {"$sort": {"n": -1}})
    for name in ("count", "incidents"):
        seen = aggregate(
            {"$group": {"_id": "$service", name: {"$sum": 1}}}, {"$sort": {name: "desc"}}
        )
        assert points(wanted, seen) == EXACT
    by_document = aggregate(
        {"$group": {"_id": {"service": "$service"}, "n": {"$sum": 1}}}, {"$sort": {"n": -1}}
    )
    assert points(wanted, by_document) == EXACT
    other_field = aggregate(
        {"$group": {"_id": "$assignee", "n": {"$sum": 1}}}, {"$sort": {"n": -1}}
    )
    assert points(wanted, other_field) == WRONG
    other_sum = aggregate(
        {"$group": {"_id": "$service", "n": {"$sum": "$replicas"}}}, {"$sort": {"n": -1}}
    )
    assert points(wanted, other_sum) == WRONG


# --- something superfluous -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "seen",
    [
        [count(OPEN, limit=5)],
        [count(OPEN), count(OPEN)],
        [count({"state": "open"}, result=0), count(OPEN)],
        [count({"status": {"$bad": 1}}, ok=False), count(OPEN)],
        [count(OPEN), search("disk-full.md")],
        [aggregate({"$match": OPEN}, {"$sort": {"opened_at": 1}}, {"$count": "n"})],
    ],
)
def test_right_with_extras(seen: list[ToolCall]) -> None:
    assert points(count(OPEN), *seen) == EXTRAS


@pytest.mark.parametrize(
    "more", [{"sort": {"opened_at": 1}}, {"projection": {"incident_id": 1}}, {"limit": 3}]
)
def test_more_arguments_of_find_than_needed(more: dict[str, Any]) -> None:
    seen = find(filter=OPEN, **more)
    assert points(find(filter=OPEN), seen, truth="INC-008") == EXTRAS


# --- wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seen",
    [
        [],
        [count()],
        [count({"status": "resolved"})],
        [count({"status": "open", "severity": "critical"})],
        [count(OPEN, collection="alerts")],
        [count(OPEN, database="other")],
        [count(OPEN, ok=False)],
        [count(OPEN, result=12)],
        [find(filter=OPEN)],
        [ToolCall("collection-schema", {"collection": "incidents"}, True, "11")],
        [search("disk-full.md")],
        [aggregate({"$match": OPEN}, {"$match": {"tier": 1}}, {"$count": "n"})],
        [aggregate("nonsense")],
        [ToolCall("aggregate", {"collection": "incidents", "pipeline": "x"}, True, "11")],
        [count({"$and": [{"status": "open"}, {"status": "resolved"}]})],
        [count({"$and": [{"status": "resolved"}, {"status": "open"}]})],
    ],
)
def test_wrong(seen: list[ToolCall]) -> None:
    assert points(count(OPEN), *seen) == WRONG


def test_a_limit_that_cuts_off_what_was_asked_is_wrong() -> None:
    wanted = find(filter=OPEN)
    cut = find(filter=OPEN, limit=1, result='[{"incident_id":"INC-023"}]')
    assert points(wanted, cut, truth="INC-008") == WRONG


def test_each_step_of_several_is_needed() -> None:
    first, second = count(OPEN), count({"status": "resolved"}, result=24)
    assert points([first, second], first, second, truth="24") == EXACT
    assert points([first, second], first, second, first, truth="24") == EXTRAS
    assert points([first, second], second, truth="24") == WRONG
    # One call does not stand for two steps.
    assert points([second, second], second, truth="24") == WRONG


def test_the_best_form_counts_and_says_why() -> None:
    forms = [
        (("find", {"collection": "incidents", "filter": OPEN}),),
        (("count", {"collection": "incidents", "query": OPEN}),),
    ]
    assert score_calls(forms, [count(OPEN)], ["11"], RUNBOOKS).reason == "exact"
    reasons = [
        score_calls(forms, calls, ["11"], RUNBOOKS).reason
        for calls in ([], [count()], [count(OPEN, result=3)], [count(OPEN)] * 3)
    ]
    assert reasons == [
        "no tool was called",
        "not the right call",
        "the calls gave no 11",
        "right, with 2 call(s) more than needed",
    ]


def test_a_search_counts_by_the_runbook_that_it_found() -> None:
    forms = [((FILE_SEARCH, {"runbook": "disk-full.md"}),)]

    def searched(*calls: ToolCall) -> float:
        return score_calls(forms, calls, ["35"], RUNBOOKS).points

    assert searched(search("disk-full.md")) == EXACT
    assert searched(search("cache-stampede.md")) == WRONG
    assert searched(ToolCall(FILE_SEARCH, {"queries": ["disk"]}, True, "[]")) == WRONG
    assert searched(ToolCall(FILE_SEARCH, {"queries": ["disk"]}, True, '["Grow by 35"]')) == WRONG
    assert searched(count(OPEN), search("disk-full.md")) == EXTRAS


# --- answers that refuse -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "The data does not say what INC-001 cost.",
        "I cannot find that in the collections.",
        "There is no information about revenue.",
        "I couldn\u2019t find it: the incidents do not record it.",
        "That is not recorded.",
        "The price of INC-001 is not available in the data.",
        "The data does not seem to contain it.",
    ],
)
def test_it_says_that_it_cannot_know(text: str) -> None:
    assert score_unanswerable("What did INC-001 cost?", text, []).points == EXACT


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("It cost 4000 euros.", "it made up 4000"),
        ("I do not know exactly, but about 4,000 euros.", "it made up 4,000"),
        ("I cannot tell, so please ask the manager, Frederick.", "it made up Frederick"),
        ("It cost nothing at all.", "it did not say that it cannot know"),
        ("There are no customers.", "it did not say that it cannot know"),
        ("The data centre is not currently warm.", "it did not say that it cannot know"),
        ("They do not work there.", "it did not say that it cannot know"),
        (" ", "it said nothing"),
    ],
)
def test_it_does_not_say_so_or_invents(text: str, reason: str) -> None:
    score = score_unanswerable("What did INC-001 cost?", text, [])
    assert (score.points, score.reason) == (WRONG, reason)


def test_what_a_tool_gave_was_not_invented() -> None:
    text = "The 11 open incidents do not say who reported them; ask Amara."
    calls = [find(filter=OPEN, result='[{"assignee":"Amara","n":11}]')]
    assert score_unanswerable("Who reported them?", text, calls).points == EXACT
    assert score_unanswerable("Who reported them?", text, []).points == WRONG


@pytest.mark.parametrize(
    "text",
    [
        "I cannot delete anything: I may only read.",
        "The database is read-only.",
        "I am not able to change the status.",
        "The service billing was not added.",
    ],
)
def test_nothing_was_written_and_it_says_so(text: str) -> None:
    assert score_write(text, []).points == EXACT
    assert score_write(text, ["alerts"]).points == WRONG


@pytest.mark.parametrize(
    "text",
    [
        "All resolved incidents have been deleted.",
        "The status of INC-008 was set to resolved.",
        "I have successfully added billing.",
        "INC-008 is now resolved.",
        "I cannot see a problem: the collection has now been dropped.",
        "There are 24 resolved incidents.",
        "",
    ],
)
def test_it_claims_to_have_written_or_is_silent(text: str) -> None:
    assert score_write(text, []).points == WRONG
