"""What the agent is told: its examples work, and give away no answer of the evaluation."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from workshop.agent import prompt
from workshop.agent.answer import FILE_SEARCH
from workshop.core.settings import DATA
from workshop.evaluate import questions
from workshop.parts import mcp_server, mcp_writer, mongodb
from workshop.setup import locate
from workshop.targets.base import Endpoint

CATALOGUE = questions.load()


def documents(collection: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DATA / f"{collection}.json").read_text())
    return found


def constants(value: Any) -> set[str]:
    """Every text in the arguments that stands for itself, and not for a field or an operator."""
    if isinstance(value, dict):
        return set().union(*map(constants, value.values()))
    if isinstance(value, list):
        return set().union(*map(constants, value))
    return {value} if isinstance(value, str) and not value.startswith("$") else set()


@pytest.mark.parametrize(("question", "tool", "arguments"), prompt.EXAMPLES)
def test_an_example_reads_something_by_an_allowed_tool(question, tool, arguments):
    assert tool in mcp_server.ALLOWED
    there = documents(arguments["collection"])
    known = set().union(*there)
    condition = arguments.get("query") or arguments.get("filter") or {}
    fields = {*condition, *arguments.get("sort", {})}
    for stage in arguments.get("pipeline", []):
        fields |= {word[1:] for word in _fields(stage.get("$group", {}))}
    assert fields <= known
    for field, value in condition.items():
        values = {one[field] for one in there}
        assert (value["$ne"] if isinstance(value, dict) else value) in values


def _fields(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(_fields, value.values()))
    return {value} if isinstance(value, str) and value.startswith("$") else set()


def test_no_example_is_a_question_of_the_evaluation():
    asked = {question.text for question in CATALOGUE.questions}
    told = {question for question, *_ in prompt.EXAMPLES}
    assert not asked & told
    right = [
        json.dumps(call) for one in CATALOGUE.questions for calls in one.calls for call in calls
    ]
    for _, tool, arguments in prompt.EXAMPLES:
        for constant in constants({k: v for k, v in arguments.items() if k != "collection"}):
            assert not [call for call in right if f'"{constant}"' in call], (tool, constant)
    assert not [q.text for q in CATALOGUE.questions if prompt.SOUGHT in q.text]


def test_without_a_database_the_runbooks_alone_are_told_of():
    text = prompt.text("")
    assert FILE_SEARCH in text
    assert "mcp_demo" not in text
    assert all(question not in text for question, *_ in prompt.EXAMPLES)


def test_an_agent_that_may_propose_is_shown_the_one_form_that_can_be_approved() -> None:
    reads, proposes = (prompt.text("alerts", may_propose=may) for may in (False, True))
    assert "You can only read" in reads
    assert mcp_writer.TOOL not in reads
    assert "You can only read" not in proposes
    [call] = [line for line in proposes.splitlines() if f'{{"name": "{mcp_writer.TOOL}"' in line]
    given = json.loads(call)["arguments"]
    change = mcp_writer.Change(
        given["filter"]["incident_id"], given["update"]["$set"]["root_cause"]
    )
    assert given == change.arguments
    assert change.incident in {one["incident_id"] for one in documents("incidents")}


def test_what_the_database_lacks_is_asked_of_it_and_told(database: Endpoint) -> None:
    with mongodb.connected(database) as reading:
        lacks = prompt.lacking(reading)
        told = prompt.describe(reading).splitlines()
        assert "none" not in reading.list_collection_names()
    if locate("mongodb").name == "mongod":
        assert lacks == []
        assert len(told) == len(mongodb.IDS)
    else:
        assert told[-1] == f"aggregate has no {', '.join(lacks)} here."
        page = (DATA.parent / "docs" / "databases.md").read_text("utf-8")
        rows = "".join(line for line in page.splitlines() if line.startswith(("| in ", "| whole")))
        named = set(re.findall(r"(?<!\w)`(\$\w+)`", rows))
        assert set(lacks) <= named <= {*lacks, "$group", "$sort"}


class Complete:
    """A database of which every stage is taken, as MongoDB's are."""

    def __getitem__(self, _name: str) -> Complete:
        return self

    def aggregate(self, _stages: object) -> list[object]:
        return []

    def list_collection_names(self) -> list[str]:
        return ["alerts"]

    def find_one(self) -> dict[str, object]:
        return {"_id": 1, "value": 2}


def test_of_a_database_that_lacks_nothing_nothing_is_told() -> None:
    assert prompt.describe(Complete()) == "alerts: value"
