"""The questions of notebook 07, each with the values that its answer must hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workshop.errors import StepMissing
from workshop.settings import DATA


@dataclass(frozen=True)
class Question:
    """A question, and how pymongo finds the values that a true answer holds.

    ``truth`` takes the database, None for a question about runbooks. It does not use what the
    agent did, so that a call with the wrong filter shows even though its result is genuine.
    """

    text: str
    truth: Callable[[Any], list[str]]


def _incident(database: Any, query: Mapping[str, str]) -> dict[str, Any]:
    document: dict[str, Any] | None = database.incidents.find_one(query)
    if document is None:
        raise StepMissing(
            "The sample data is not loaded.",
            where="the collection incidents of mcp_demo",
            state=f"no document matches {dict(query)}",
            hint="run 04_deploy_mongodb again: it loads what is missing",
        )
    return document


def _first(database: Any) -> list[str]:
    document = _incident(database, {})
    # A user's own document may be the first, and may have other fields.
    fields = ("title", "service", "severity", "status")
    return [str(document[field]) for field in fields if document.get(field)]


def _minutes(_: Any) -> list[str]:
    text = (DATA / "runbooks" / "gpu-node-not-ready.md").read_text(encoding="utf-8")
    return re.findall(r"Wait (\d+) minutes", text)


DATABASE_QUESTIONS = (
    Question(
        "What collections are in mcp_demo?", lambda database: database.list_collection_names()
    ),
    Question(
        "How many documents are in the incidents collection of mcp_demo?",
        lambda database: [str(database.incidents.count_documents({}))],
    ),
    Question("Show me the first document from the incidents collection in mcp_demo.", _first),
    Question(
        "How many incidents are open?",
        lambda database: [str(database.incidents.count_documents({"status": "open"}))],
    ),
    Question(
        "Who is assigned to incident INC-007?",
        lambda database: [_incident(database, {"incident_id": "INC-007"})["assignee"]],
    ),
)

RUNBOOK_QUESTIONS = (
    Question("Search the runbooks: what are the steps when a GPU node is not ready?", _minutes),
)


def known(text: str) -> Question | None:
    """The question with this text, if it is one of the workshop's."""
    questions = DATABASE_QUESTIONS + RUNBOOK_QUESTIONS
    return next((question for question in questions if question.text == text), None)
