"""Exercises that give feedback: what a learner found is compared with the data."""

import html
import math
from collections.abc import Callable
from dataclasses import dataclass

from workshop.core.errors import SettingsError
from workshop.parts import mcp_server, mongodb
from workshop.targets.base import Target

NEAR = 0.02  # A number may differ by so much of itself: learners round.


@dataclass(frozen=True)
class Exercise:
    """What is asked at the end of a notebook, how it is found, and what helps."""

    ask: str
    truth: Callable[[Target], float]
    hint: str
    solution: str


@dataclass(frozen=True)
class Judged:
    """Whether a value is right; a notebook shows the solution folded in."""

    right: bool
    said: str
    solution: str

    def __repr__(self) -> str:
        return f"{'[ OK ]' if self.right else '[ .. ]'} {self.said}"

    def _repr_html_(self) -> str:
        mark = "&#10003;" if self.right else "&#8226;"
        return (
            f"<p>{mark} {html.escape(self.said)}</p><details><summary>Show a solution</summary>"
            f"<pre>{html.escape(self.solution)}</pre></details>"
        )


def _alerts(target: Target, state: str) -> int:
    return len(mongodb.query_mongodb(target, "alerts", {"state": state}))


EXERCISES = {
    "01": Exercise(
        "How many GiB are the weights of a model with 14 billion parameters, half a byte each?",
        lambda _target: 14e9 * 0.5 / 2**30,
        "a GiB is 2**30 bytes: set both numbers in the cell above, and run it",
        "14 * 1e9 * 0.5 / 2**30",
    ),
    "04": Exercise(
        "How many alerts are firing?",
        lambda target: _alerts(target, "firing"),
        'the collection is "alerts"; the field "state" says "firing"',
        'len(query_mongodb(target, "alerts", {"state": "firing"}))',
    ),
    "05": Exercise(
        "How many alerts are acknowledged?",
        lambda target: _alerts(target, "acknowledged"),
        'in the query of the cell above, "firing" becomes "acknowledged"',
        'query = {"database": "mcp_demo", "collection": "alerts", '
        '"query": {"state": "acknowledged"}}\n'
        'call_tool(target, "count", {"connectionId": "preconfigured", **query})',
    ),
    "06": Exercise(
        "About how many tokens is the longest description, at four characters each?",
        lambda target: max(len(str(tool)) for tool in mcp_server.list_tools(target)) / 4,
        "the second value of the cell above is its length in characters",
        "len(str(longest)) / 4",
    ),
}
"""By the number of the notebook."""


def check_exercise(target: Target, step: str, value: object) -> Judged:
    """Compare a learner's value with the data: it is right, or there is a hint.

    ``step`` is the notebook's number, such as ``"04"``, ``value`` the number that was found, None
    for nothing yet. Raises ``SettingsError`` where the step has no exercise with a value,
    ``StepMissing`` where the part that has the data does not run, ``EndpointError`` where it does
    not answer.
    """
    exercise = EXERCISES.get(step)
    if exercise is None:
        raise SettingsError(
            f"Step {step} has no exercise to check.", state="these have: " + ", ".join(EXERCISES)
        )
    right = False
    if value is None:
        said = f"{exercise.ask} Write your value in place of None."
    elif isinstance(value, bool) or not isinstance(value, int | float):
        said = f"{type(value).__name__} is no number. Hint: write the number that you read."
    elif right := math.isclose(value, exercise.truth(target), rel_tol=NEAR):
        said = f"{value:g} is right."
    else:
        said = f"{value:g} is not right. Hint: {exercise.hint}."
    return Judged(right, said, exercise.solution)
