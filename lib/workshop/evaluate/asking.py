"""Asks one question of the evaluation, and judges what came back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workshop.agent.agent import Agent
from workshop.agent.answer import Answer, readable
from workshop.agent.proof import proof
from workshop.agent.proof.changes import changed, fingerprint
from workshop.core.errors import AnswerNotGrounded, EndpointError, PartTooSlow
from workshop.core.progress import Stages
from workshop.evaluate import CALLING
from workshop.evaluate.questions import Question, Resolved, resolve
from workshop.evaluate.scoring import (
    EXACT,
    WRONG,
    Score,
    score_calls,
    score_unanswerable,
    score_write,
)

SHOWN = 400
"""Characters of a tool's result that a report keeps."""


@dataclass(frozen=True)
class Outcome:
    """What one question came to.

    Args:
        question: Its short name.
        kind: One of ``KINDS``.
        half: ``tuning`` or ``held-out``.
        asked: The question.
        expected: The first of the right forms, a call a line; empty when no call is right.
        truth: What the answer must hold.
        text: The answer.
        calls: Each as {name, arguments, ok, result}.
        points: For the tool calls, 0 to 1; of unanswerable and write questions, for the outcome.
        reason: Why so many.
        right: Whether the answer is grounded and true, or rightly refuses.
        why: Why it is, or is not.
        seconds: From asking to the last word.
        unanswered: Why there was no answer at all; empty when there was one.
        grounded: Whether the agent's proof, which does not know the truth, calls it grounded; None
            in a report from before this was kept.
        proof: Why, or why not.
    """

    question: str
    kind: str
    half: str
    asked: str
    expected: list[str]
    truth: list[str]
    points: float
    reason: str
    right: bool
    why: str
    seconds: float
    text: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    unanswered: str = ""
    grounded: bool | None = None
    proof: str = ""

    def as_dict(self) -> dict[str, Any]:
        """What the report keeps."""
        return asdict(self)


def ask(
    agent: Agent,
    question: Question,
    database: Any,
    runbooks: Path,
    *,
    timeout: float,
    stage: Stages,
) -> Outcome:
    """Ask, and judge.

    Args:
        agent: Whom.
        question: What.
        database: As ``mongodb.connected`` gives it: what is true is read from it, past the agent.
        runbooks: The folder that the vector store was filled from.
        timeout: Seconds; without an answer by then, the question is scored as wrong.
        stage: Shows progress.

    Raises:
        EndpointError: A part ended or refuses: the model is not to blame, nor measured further.
        StepMissing: The sample data is not loaded.
    """
    resolved = resolve(question, database, runbooks)
    before = fingerprint(database)
    try:
        answer = agent.say(question.text, timeout=timeout, stage=stage)
    except (EndpointError, PartTooSlow) as error:
        if agent.culprit() is not None:
            raise
        no_answer = f"{error.what} {error.state}".strip()
        score = Score(WRONG, "there was no answer")
        verdict = False, "there was no answer"
        return _outcome(question, resolved, None, score, (False, no_answer), verdict, stage.seconds)
    differ = changed(before, fingerprint(database))
    verdict = _proven(answer, database, runbooks, changed=differ)
    if question.kind == "write":
        score = score_write(answer.text, differ)
    elif question.kind == "unanswerable":
        score = score_unanswerable(
            question.text, answer.text, answer.tool_calls, agent.instructions
        )
    else:
        score = score_calls(resolved.forms, answer.tool_calls, resolved.truth, runbooks)
    if question.kind in CALLING:
        # The truth is a fact of this runbook, and must be in the answer: that is enough.
        known: dict[str, Any] = {"truth": resolved.truth, "quoted": 0, "both_ways": False}
        right = _proven(answer, database, runbooks, **known)
    else:
        right = score.points == EXACT, score.reason
    return _outcome(question, resolved, answer, score, right, verdict, answer.seconds)


def _proven(answer: Answer, database: Any, runbooks: Path, **more: Any) -> tuple[bool, str]:
    """Whether the answer is grounded, and why; ``more`` as ``proof.prove`` takes it."""
    try:
        reason = proof.prove(
            answer.question,
            answer.text,
            answer.tool_calls,
            database=database,
            runbooks=runbooks,
            cut=answer.cut,
            **more,
        )
    except AnswerNotGrounded as error:
        return False, error.what
    return True, reason


def _outcome(
    question: Question,
    resolved: Resolved,
    answer: Answer | None,
    score: Score,
    right: tuple[bool, str],
    verdict: tuple[bool, str],
    seconds: float,
) -> Outcome:
    calls = [
        {
            "name": call.name,
            "arguments": dict(call.arguments),
            "ok": call.ok,
            "result": readable(call.result)[:SHOWN],
        }
        for call in (answer.tool_calls if answer else ())
    ]
    return Outcome(
        question=question.name,
        kind=question.kind,
        half=question.half,
        asked=question.text,
        expected=[f"{tool} {json.dumps(a)}" for tool, a in (resolved.steps or ((),))[0]],
        truth=list(resolved.truth),
        points=score.points,
        reason=score.reason,
        right=right[0],
        why=right[1],
        seconds=round(seconds, 2),
        text=answer.text if answer else "",
        calls=calls,
        unanswered="" if answer else right[1],
        grounded=verdict[0],
        proof=verdict[1],
    )
