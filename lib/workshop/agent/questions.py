"""The questions of notebook 07, the values that their answers must hold, and the checkpoint."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from workshop.agent.answer import Answer
from workshop.core.checks import Checks
from workshop.core.errors import StepMissing
from workshop.core.settings import DATA

WITHOUT_DATABASE = "this run is without MongoDB"  # So its questions are not asked.


@dataclass(frozen=True)
class Question:
    """A question, and how pymongo finds the values that a true answer holds.

    ``truth`` takes the database, None for a question about runbooks, and does not use what the
    agent did: a call with the wrong filter shows even though its result is genuine.
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
QUESTIONS = DATABASE_QUESTIONS + RUNBOOK_QUESTIONS


def known(text: str) -> Question | None:
    """The question with this text, if it is one of the workshop's."""
    return next((question for question in QUESTIONS if question.text == text), None)


class Asked(Protocol):
    """What the checkpoint needs of an agent."""

    answers: list[Answer]
    unanswered: dict[str, str]
    has_database: bool


def verify_answers(agent: Asked) -> Checks:
    """Prove that the workshop's questions were asked, and that each answer is grounded.

    Raises ``CheckFailed`` where one was not asked or got no answer, or an answer is not grounded.
    """
    checks = Checks("Agent")
    answers: dict[str, Answer | None] = dict.fromkeys(one.text for one in QUESTIONS)
    answers |= {answer.question: answer for answer in agent.answers}
    for text, answer in answers.items():
        question = known(text)
        if answer is None and question in DATABASE_QUESTIONS and not agent.has_database:
            checks.that(text, "not asked here", lambda: WITHOUT_DATABASE)
        elif answer is None or (question and text in agent.unanswered):
            why = agent.unanswered.get(text, "it was not asked")
            _grounded(checks, text, False, why, "run the cell that asks it in 07_ask_the_agent")
        else:
            _grounded(checks, text, answer.grounded, f"{answer.text} ({answer.proof})")
    return checks.raise_if_failed()


def _grounded(checks: Checks, question: str, grounded: bool, seen: str, hint: str = "") -> None:
    checks.that(question, "grounded", lambda: seen, lambda _: grounded, hint=hint)
