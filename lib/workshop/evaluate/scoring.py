"""What a question's tool calls and answer are worth. Pure: nothing is asked here.

The scale is the one in use for tool calls: 1 for the right calls, 0.75 for the right calls with
something superfluous, 0 otherwise.

Calls that ask the same of the database compare as equal. ``count``, ``find`` and ``aggregate``
overlap: a count with a filter is an aggregation that matches and counts. Each call therefore
becomes the stages of an aggregation. What changes nothing is left out: the connection, the order of
keys, a tool's default, the names that a pipeline gives to its own fields.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workshop.agent import proof
from workshop.agent.answer import FILE_SEARCH, ToolCall
from workshop.agent.proof.evidence import LIMIT, ORDERS, chunks, runbook_with
from workshop.agent.proof.values import TYPED, contains
from workshop.evaluate.questions import KNOWN, Step
from workshop.parts import mongodb

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

NUMBER = re.compile(r"(?:[A-Z]+-)?\d+(?:[.,:]\d+)*")  # Or an id.
NAME = re.compile(r"(?<![.!?:]\s)(?<!^)(?<![\"'`*])\b[A-Z][a-z]{2,}\b", re.MULTILINE)
"""A capital within a sentence."""

IGNORED = {"connectionId", "database", "responseBytesLimit"}  # They do not say what is read.
Stage = tuple[str, str]  # An operator such as ``$match``, and its argument as sorted JSON.


@dataclass(frozen=True)
class Score:
    """Points, and why, in one sentence."""

    points: float
    reason: str


@dataclass(frozen=True)
class Canonical:
    """What a call asks for."""

    subject: str  # The collection; ``list-collections``; or another tool's name.
    # What is done with its documents; of a search, the runbooks that it found.
    stages: tuple[Stage, ...] = ()
    strange: tuple[str, ...] = ()  # Names of arguments that the tool does not have.


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
    made = {
        place: _found(*(runbook_with(chunk, runbooks) for chunk in chunks(call.result)))
        if call.name == FILE_SEARCH
        else _canonical(call.name, call.arguments)
        for place, call in enumerate(calls)
        if call.ok
    }
    return max((_one(form, made, calls, truth) for form in forms), key=lambda score: score.points)


def _found(*runbooks: str) -> Canonical:
    return Canonical(FILE_SEARCH, tuple(("found", name) for name in runbooks))


def _one(
    form: Sequence[Step],
    made: Mapping[int, Canonical],
    calls: Sequence[ToolCall],
    truth: Sequence[str],
) -> Score:
    used: dict[int, float] = {}
    for tool, arguments in form:
        search = tool == FILE_SEARCH
        wanted = _found(arguments["runbook"]) if search else _canonical(tool, arguments)
        grades = {at: _grade(wanted, call) for at, call in made.items() if at not in used}
        best = max(grades.values(), default=WRONG)
        if best == WRONG:
            return Score(WRONG, "not the right call")
        used[next(at for at in grades if grades[at] == best)] = best
    given = " ".join(_given(calls[place]) for place in used)
    if lacking := [value for value in truth if not contains(given, value)]:
        return Score(WRONG, f"the calls gave no {', '.join(lacking)}")
    if superfluous := len(calls) - len(used):
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

    What stands in the question, the results, or ``told``, its instructions, is not invented.
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
    right, reason = proof.denies_change(text, changed)
    return Score(EXACT if right else WRONG, reason)


# --- calls that ask the same --------------------------------------------------------------------


def _canonical(name: str, arguments: Mapping[str, Any]) -> Canonical:
    known = KNOWN.get(name)
    database = arguments.get("database") or mongodb.DATABASE
    if known is None or database != mongodb.DATABASE:
        return Canonical(f"{name} in {database}")
    strange = tuple(sorted(set(arguments) - known - IGNORED))
    if name == "list-collections":
        return Canonical(name, (), strange)
    collection = str(arguments.get("collection", ""))
    given = arguments.get
    limit = given("limit")
    stages = {
        "count": [{"$match": given("query")}, {"$count": "n"}],
        "find": [
            {"$match": given("filter")},
            {"$sort": given("sort")},
            {"$limit": None if limit == LIMIT else limit},
            {"$project": given("projection")},
        ],
        "aggregate": given("pipeline"),
    }[name]
    stages = stages if isinstance(stages, list) else []
    return Canonical(collection, _simplified(collection, stages), strange)


def _simplified(collection: str, stages: Sequence[Any]) -> tuple[Stage, ...]:
    names: dict[str, str] = {}
    found: list[Stage] = []
    one = False
    for stage in stages:
        if not isinstance(stage, dict) or len(stage) != 1:
            found.append(("?", _json(stage)))
            continue
        ((operator, value),) = stage.items()
        if value in (None, {}, []) or (one and operator in ("$sort", "$limit")):
            # One document stays one, in any order.
            continue
        if operator == "$match":
            value = _query(collection, value)
            # The filter names one document by its unique field.
            key = mongodb.IDS.get(collection, "")
            one = one or (isinstance(value, dict) and isinstance(value.get(key), str))
        elif operator == "$sort" and isinstance(value, dict):
            value = {names.get(k, k): ORDERS.get(str(v).lower(), v) for k, v in value.items()}
            # Here the order of the keys counts.
            value = list(value.items())
        elif operator == "$count":
            operator, value = "$group", _counted(names, {"_id": None, str(value): {"$sum": 1}})
        elif operator == "$group" and isinstance(value, dict):
            value = _counted(names, value)
        found.append((operator, _json(value)))
    return tuple(found)


def _counted(names: dict[str, str], group: dict[str, Any]) -> list[Any]:
    """By what is grouped, and what each field is, sorted; notes the fields' places as names."""
    fields = sorted(
        (_json({"$sum": 1} if how == {"$count": {}} else how), field)
        for field, how in group.items()
        if field != "_id"
    )
    names |= {field: f"#{place}" for place, (_, field) in enumerate(fields)}
    by = group.get("_id")
    if isinstance(by, dict) and len(by) == 1:
        # {"_id": {"service": "$service"}} groups as {"_id": "$service"} does.
        (by,) = by.values()
    return [by or None, *(how for how, _ in fields)]


def _query(collection: str, query: Any) -> Any:
    """A filter without the ways of saying the same in more words."""
    if not isinstance(query, dict):
        return query
    conditions = list(_conditions(collection, query))
    # Two conditions about the same field are together not one.
    return dict(conditions) if len(dict(conditions)) == len(conditions) else conditions


def _conditions(collection: str, query: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for field, value in query.items():
        if field == "$and" and isinstance(value, list) and all(isinstance(v, dict) for v in value):
            for part in value:
                yield from _conditions(collection, part)
        else:
            key = mongodb.IDS.get(collection, "_id") if field == "_id" else str(field)
            yield key, _condition(value)


def _condition(value: Any) -> Any:
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((operator, operand),) = value.items()
    if operator == "$eq":
        return operand
    if operator in ("$in", "$nin") and isinstance(operand, list):
        if len(operand) == 1:
            return operand[0] if operator == "$in" else {"$ne": operand[0]}
        return {operator: sorted(operand, key=_json)}
    return value


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
