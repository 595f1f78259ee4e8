"""The checkpoint of notebook 07 has a line for each of the workshop's questions."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import workshop
from workshop.agent.answer import Answer
from workshop.agent.questions import DATABASE_QUESTIONS, RUNBOOK_QUESTIONS
from workshop.core.errors import CheckFailed

pytestmark = pytest.mark.timeout(60)

QUESTIONS = [one.text for one in (*DATABASE_QUESTIONS, *RUNBOOK_QUESTIONS)]


def answer(question: str, *, grounded: bool = True) -> Answer:
    return Answer(question, "11", 1.0, (), grounded, "why")


@dataclass
class Asked:
    """What was asked of an agent."""

    answers: list[Answer] = field(default_factory=list)
    unanswered: dict[str, str] = field(default_factory=dict)
    has_database: bool = True


def failed(asked: Asked) -> str:
    with pytest.raises(CheckFailed) as error:
        workshop.verify_answers(asked)
    return str(error.value)


def test_all_were_asked_and_one_more() -> None:
    mine = answer("How many alerts are firing?")
    checks = workshop.verify_answers(Asked([mine, *map(answer, QUESTIONS)]))
    assert [check.name for check in checks] == [*QUESTIONS, mine.question]
    assert {check.seen for check in checks} == {"11 (why)"}


def test_without_a_database_five_are_not_asked_and_that_is_said() -> None:
    checks = workshop.verify_answers(Asked([answer(QUESTIONS[-1])], has_database=False))
    assert [check.expected for check in checks] == [*["not asked here"] * 5, "grounded"]
    assert {check.seen for check in checks} == {"this run is without MongoDB", "11 (why)"}


def test_a_question_that_was_not_asked_or_got_no_answer_fails() -> None:
    timed_out = {QUESTIONS[1]: "There was no answer in time."}
    said = failed(Asked([answer(text) for text in QUESTIONS[2:]], timed_out))
    assert said.startswith("Agent: 2 of 6 checks failed.")
    assert f"{QUESTIONS[0]}: expected grounded, saw it was not asked" in said
    assert f"{QUESTIONS[1]}: expected grounded, saw There was no answer in time." in said
    assert "Hint: run the cell that asks it in 07_ask_the_agent" in said
    # It was answered once, and then no more.
    asked = Asked([answer(text) for text in QUESTIONS], timed_out)
    assert failed(asked).startswith("Agent: 1 of 6 checks failed.")


def test_the_last_answer_to_a_question_counts() -> None:
    bad = answer(QUESTIONS[0], grounded=False)
    good = [answer(text) for text in QUESTIONS]
    assert workshop.verify_answers(Asked([bad, *good]))
    assert "1 of 6 checks failed" in failed(Asked([*good, bad]))
    mine = answer("How many alerts are firing?", grounded=False)
    assert "1 of 7 checks failed" in failed(Asked([*good, mine]))
