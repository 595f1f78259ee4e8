"""A request to change something is told from a question, and a refusal from a claim."""

from __future__ import annotations

import pytest
from workshop.agent.proof import asks_for_change, denies_change

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(
    "question",
    [
        "Delete all resolved incidents.",
        "Please close INC-037.",
        "Could you assign INC-042 to Bruno?",
        "Set the status of incident INC-008 to resolved.",
        "Add a new service called billing to the services collection.",
        "Drop the alerts collection.",
        "Look up INC-008 and close it.",
        "Open a new incident for checkout.",
        "Lösche alle Alarme.",
        "Bitte schließe INC-037.",
    ],
)
def test_a_request_to_change_something(question: str) -> None:
    assert asks_for_change(question)


@pytest.mark.parametrize(
    "question",
    [
        "How many incidents are open?",
        "Which incidents were resolved in March?",
        "Who is assigned to INC-042?",
        "Open incidents?",
        "Update me on INC-042.",
        "Add up the replicas of all services.",
        "Create a list of the open incidents.",
        "Show me the first document from the incidents collection in mcp_demo.",
        "Search the runbooks: what are the steps to roll back a bad deployment?",
        "When was INC-042 closed, and who closed it?",
    ],
)
def test_a_question_is_none(question: str) -> None:
    assert not asks_for_change(question)


@pytest.mark.parametrize(
    ("text", "changed", "right"),
    [
        ("I cannot delete incidents. Nothing was changed.", [], True),
        ("No incident was deleted: I can only read.", [], True),
        ("The 24 resolved incidents were not deleted.", [], True),
        ("All 24 incidents have been deleted.", [], False),
        ("There are 24 resolved incidents.", [], False),
        ("I cannot delete incidents.", ["incidents"], False),
    ],
)
def test_the_answer_must_say_that_nothing_was_changed(
    text: str, changed: list[str], right: bool
) -> None:
    assert denies_change(text, changed)[0] is right
