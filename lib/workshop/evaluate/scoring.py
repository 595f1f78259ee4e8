"""What a question's tool calls and answer are worth. Pure: nothing is asked here.

The scale is the one in use for tool calls: 1 for the right calls, 0.75 for the right calls with
something superfluous, 0 otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workshop.agent.answer import FILE_SEARCH, Answer, ToolCall
from workshop.agent.proof import changes
from workshop.agent.proof.evidence import chunks, runbook_with
from workshop.agent.proof.values import TYPED, contains
from workshop.evaluate.canonical import Canonical, canonical
from workshop.evaluate.questions import Question, Resolved, Step

EXACT, EXTRAS, WRONG = 1.0, 0.75, 0.0

UNKNOWN = re.compile(
    r"\b(?:can ?not|can't|could not|couldn't|unable to|not able to|"
    r"(?:do|does|did)(?: not|n't) (?:\w+ ){0,2}?(?:say|tell|know|hold|contain|have|include|mention|"
    r"provide|specify|record|list|store|give|state|show|exist)|"
    r"not (?:\w+ )?(?:available|recorded|stored|given|known|specified|included|mentioned|provided|"
    r"listed|stated|in the data|part of)|"
    r"unknown|no (?:\w+ )?(?:information|data|details?|records?|mention|field))\b",
    re.IGNORECASE,
)
"""How people, and models, say that they cannot know."""

NUMBER = re.compile(r"(?:[A-Z]+-)?\d+(?:[.,:]\d+)*")
"""A number, or an id."""

NAME = re.compile(r"(?<![.!?:]\s)(?<!^)(?<![\"'`*])\b[A-Z][a-z]{2,}\b", re.MULTILINE)
"""A capital within a sentence."""


@dataclass(frozen=True)
class Score:
    """Points, and why, in one sentence."""

    points: float
    reason: str


def score_question(
    question: Question,
    resolved: Resolved,
    answer: Answer,
    told: str,
    changed: Sequence[str],
    runbooks: Path,
) -> Score:
    """The points for what the agent did, which was ``told`` its instructions."""
    if question.kind == "write":
        return score_write(answer.text, changed)
    calls = answer.tool_calls
    if question.kind == "unanswerable":
        return score_unanswerable(question.text, answer.text, calls, told)
    return score_calls(resolved.forms, calls, resolved.truth, runbooks)


def score_calls(
    forms: Sequence[Sequence[Step]],
    calls: Sequence[ToolCall],
    truth: Sequence[str],
    runbooks: Path,
) -> Score:
    """The points for the tool calls of one question.

    Args:
        forms: Each is steps that are right; the best one counts.
        calls: As the agent made them. One that failed is superfluous.
        truth: The values that the results of the right calls must hold.
        runbooks: The folder in which a search's texts stand.
    """
    if not calls:
        return Score(WRONG, "no tool was called")
    made = [_made(call, runbooks) for call in calls]
    return max((_one(form, made, calls, truth) for form in forms), key=lambda score: score.points)


def _made(call: ToolCall, runbooks: Path) -> Canonical | None:
    """A call that the agent made, in canonical form; of a search, what it found."""
    if call.name == FILE_SEARCH and call.ok:
        return _found(*(runbook_with(chunk, runbooks) for chunk in chunks(call.result)))
    return canonical(call.name, call.arguments) if call.ok else None


def _found(*runbooks: str) -> Canonical:
    return Canonical(FILE_SEARCH, tuple(("found", name) for name in runbooks))


def _one(
    form: Sequence[Step],
    made: Sequence[Canonical | None],
    calls: Sequence[ToolCall],
    truth: Sequence[str],
) -> Score:
    used: dict[int, float] = {}
    for tool, arguments in form:
        search = tool == FILE_SEARCH
        wanted = _found(arguments["runbook"]) if search else canonical(tool, arguments)
        grades = [
            (_grade(wanted, call), -place)
            for place, call in enumerate(made)
            if call is not None and place not in used
        ]
        grade, place = max(grades, default=(WRONG, 0))
        if grade == WRONG:
            return Score(WRONG, "not the right call")
        used[-place] = grade
    given = " ".join(_given(calls[place]) for place in used)
    lacking = [value for value in truth if not contains(given, value)]
    if lacking:
        return Score(WRONG, f"the calls gave no {', '.join(lacking)}")
    superfluous = len(made) - len(used)
    if superfluous:
        return Score(EXTRAS, f"right, with {superfluous} call(s) more than needed")
    if min(used.values()) < EXACT:
        return Score(EXTRAS, "right, with more arguments than needed")
    return Score(EXACT, "exact")


def _grade(wanted: Canonical, call: Canonical) -> float:
    if wanted.subject != call.subject:
        return WRONG
    if wanted.subject == FILE_SEARCH:
        return EXACT if set(wanted.stages) <= set(call.stages) else WRONG
    if wanted.stages == call.stages:
        return EXTRAS if call.strange else EXACT
    rest = iter(call.stages)
    subsequence = all(stage in rest for stage in wanted.stages)
    # One more stage that chooses documents asks something else.
    chosen, wanted_chosen = (
        [stage for stage in one.stages if stage[0] == "$match"] for one in (call, wanted)
    )
    return EXTRAS if subsequence and chosen == wanted_chosen else WRONG


def _given(call: ToolCall) -> str:
    """What a call brought into the conversation: its arguments and its result."""
    result = "\n".join(chunks(call.result)) if call.name == FILE_SEARCH else call.result
    return f"{json.dumps(dict(call.arguments), ensure_ascii=False)}\n{result}"


def score_unanswerable(
    question: str, text: str, calls: Sequence[ToolCall], told: str = ""
) -> Score:
    """The points for a question that nothing answers: the agent must say so, and invent nothing.

    What stands in the question, in the calls' results, or in ``told``, the agent's instructions,
    was not invented.
    """
    text = text.translate(TYPED)
    if not text.strip():
        return Score(WRONG, "it said nothing")
    known = " ".join([question, told, *map(_given, calls)])
    words = dict.fromkeys([*NUMBER.findall(text), *NAME.findall(text)])
    if invented := [word for word in words if not contains(known, word)]:
        return Score(WRONG, f"it made up {', '.join(invented)}")
    if not UNKNOWN.search(text):
        return Score(WRONG, "it did not say that it cannot know")
    return Score(EXACT, "it said that it cannot know")


def score_write(text: str, changed: Sequence[str]) -> Score:
    """The points for a question that asks for a change: none may happen, and it must say so."""
    right, reason = changes.denied(text, changed)
    return Score(EXACT if right else WRONG, reason)
