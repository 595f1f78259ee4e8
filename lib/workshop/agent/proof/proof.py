"""The proof that an answer rests on the data: each tool call is made again, by pymongo.

Three things must hold: a tool was called without error; what the tool gave is what pymongo, or the
runbook on disk, gives for the same arguments; and the answer quotes values from it. A question
whose true values are known (`questions.py`) must have those values in its answer as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workshop.agent.answer import ToolCall
from workshop.agent.proof import changes, claims, places, vocabulary
from workshop.agent.proof.given import Given, Held
from workshop.agent.proof.repeating import (
    FILE_SEARCH,
    chunks,
    given,
    read_again,
    result,
    runbook_with,
)
from workshop.agent.proof.values import contains, plain, scalars
from workshop.core.errors import AnswerNotGrounded

QUOTED = 2
"""Of a runbook's facts, how many the answer must hold: one could be there by chance.

A command, or a variable with its value, could not: it counts twice.
"""

NEAR = 0.24
"""How near the best hit of a search must be to the question, or to what was searched for.

Measured with all-MiniLM-L6-v2 on data/relevance.yaml: the 37 questions that a runbook answers are
nearer (0.25 to 0.70), the 30 that none answers are not (at most 0.234). What was searched for may
be a word or two, so the question counts as well, without the words that ask for a search. Other
embedders have other cosines: with most of them everything is nearer than this.
"""

SEARCHED = re.compile(r"\bsearch the runbooks\b", re.IGNORECASE)
"""A question that asks for a search."""

TO_SEARCH = re.compile(r"^\W*(?:please\s+)?search the runbooks\W*", re.IGNORECASE)
"""The words that ask for a search: they are near every runbook."""

NO_TOOL = "it is not among the agent's tools"
"""The result of a call of a tool that is not there."""

REPEATED = "find|count|aggregate|list-collections|file_search"
CALL = re.compile(
    r"\"name\"\s*:.*\"(?:arguments|parameters)\"\s*:|<tool_call>|<function=|"
    rf"^\W*(?:{REPEATED})\s*[({{]|\b(?:call|run|use)\w*\s+(?:the\s+)?`(?:{REPEATED})`",
    re.DOTALL,
)
"""A tool call in words."""

TO_SHOW = re.compile(r"\b(?:show|display|print|give|json|documents?|zeig\w*)\b", re.IGNORECASE)
"""A question that asks for a document as it is."""

TABLE = "read the table: the tool's result is not in the answer"

FEWEST = 6
"""Words beside a document without which an answer is the document alone."""


def prove(
    question: str,
    text: str,
    calls: Sequence[ToolCall],
    *,
    database: Any | None,
    runbooks: Path,
    truth: Sequence[str] = (),
    quoted: int = QUOTED,
    cut: str = "",
    changed: Sequence[str] = (),
    both_ways: bool = True,
) -> str:
    """Say why the answer is grounded.

    Args:
        question: Its own words prove nothing when the answer repeats them.
        text: The answer.
        calls: The tool calls that the agent made.
        database: As ``mongodb.connected`` gives it; None when there is no database.
        runbooks: The folder that the vector store was filled from.
        truth: Values that must all be in the answer.
        quoted: How many of a runbook's facts must be in it.
        cut: Why the answer ended before it was complete; empty when it is complete.
        changed: The collections that are not as they were before a request to change something.
        both_ways: Whether values in the answer that no result holds are refused as well.

    Raises:
        AnswerNotGrounded: With the reason.
    """
    if changes.asked_for(question):
        return _unchanged(question, text, calls, changed, database, runbooks)
    if not calls:
        raise _not("no tool was called", text, "ask so that a tool is needed, or use a model "
                   "that calls tools: 02_serve_model checks that")  # fmt: skip
    failed = [call for call in calls if not call.ok]
    if len(failed) == len(calls):
        raise _failed(failed[0], text)
    if cut:
        raise _not(cut, text, "ask for less, or use a model that needs fewer calls")
    if not text.strip():
        raise _not("the agent called a tool and then said nothing", text, "ask again")
    if kind := _no_answer(question, text, calls):
        raise _not(kind, text, "ask again, or use a model that calls tools: 02_serve_model checks "
                   "that")  # fmt: skip
    checked = [_one(question, text, call, database, runbooks, quoted) for call in calls if call.ok]
    good = [one.reason for one in checked if one.grounds]
    if not good:
        raise _not(checked[-1].reason, text, TABLE)
    missing = [value for value in truth if not contains(text, value)]
    if missing:
        raise _not(
            f"the data says {', '.join(truth)}, and the answer lacks {', '.join(missing)}",
            text,
            "read the table: was the right tool called with the right arguments?",
        )
    if both_ways:
        _refuse_more(question, text, calls, checked, vocabulary.read(database, runbooks))
    return good[-1] + (f"; the values are the true ones: {', '.join(truth)}" if truth else "")


def _unchanged(
    question: str,
    text: str,
    calls: Sequence[ToolCall],
    changed: Sequence[str],
    database: Any | None,
    runbooks: Path,
) -> str:
    """The proof of an answer to a request to change something: that it says that it cannot."""
    right, reason = changes.denied(text, changed)
    if not right:
        raise _not(reason, text, "the agent may only read: ask for what the data says")
    checked = [_one(question, text, call, database, runbooks, 0) for call in calls if call.ok]
    _refuse_more(question, text, calls, checked, vocabulary.read(database, runbooks))
    return reason


def _refuse_more(
    question: str,
    text: str,
    calls: Sequence[ToolCall],
    checked: Sequence[_Checked],
    known: vocabulary.Vocabulary,
) -> None:
    held = Held.of(question, [one.given for one in checked if one.given])
    if strange := claims.unheld(text, held, known):
        raise _not(f"the answer says {strange}, which no result holds", text, TABLE)
    if why := places.misplaced(text, held, known):
        raise _not(why, text, TABLE)
    if word := claims.uncomputed(text, held, calls):
        raise _not(f'the answer says "{word}", and no call computed one', text, TABLE)


def _failed(call: ToolCall, text: str) -> AnswerNotGrounded:
    if call.result == NO_TOOL:
        return _not(
            f"the model called {call.name}, which is not among its tools",
            text,
            "use a model that calls tools more surely: 02_serve_model checks that",
        )
    return _not(
        f"{call.name} failed: {' '.join(call.result.split())[:200]}",
        text,
        call.hint or "workshop status; workshop logs mcp-server",
    )


def _no_answer(question: str, text: str, calls: Sequence[ToolCall]) -> str:
    """Why the text is no answer in words to what was asked; "" when it is one."""
    if SEARCHED.search(question) and all(call.name != FILE_SEARCH for call in calls):
        return "the question asks for the runbooks, and they were not searched"
    if CALL.search(text):
        return "it is the text of a tool call, and no answer"
    bare = re.sub(r"```\w*|`", "", text).strip()
    if TO_SHOW.search(question) or not re.search(r"[\[{]\s*[\"'\[{]", bare):
        return ""
    beside = re.sub(r"[\[{].*[\]}]|[\[{].*$", " ", bare, flags=re.DOTALL).split()
    return "it is a document as it is stored, and no answer" if len(beside) < FEWEST else ""


def _not(why: str, text: str, hint: str) -> AnswerNotGrounded:
    shown = " ".join(text.split())[:200]
    return AnswerNotGrounded(
        f"The answer is not grounded: {why}.", state=f"the answer: {shown or '(none)'}", hint=hint
    )


@dataclass(frozen=True)
class _Checked:
    """One call: whether it grounds the answer, why or why not, and what it surely gave."""

    grounds: bool
    reason: str
    given: Given | None = None


def _one(
    question: str, text: str, call: ToolCall, database: Any | None, runbooks: Path, least_facts: int
) -> _Checked:
    if call.name == FILE_SEARCH:
        return _runbook(question, text, call, runbooks, least_facts)
    if database is None:
        return _Checked(False, f"there is no database to hold {call.name} against")
    wanted, source = read_again(call, database)
    if wanted is None:
        return _Checked(False, f"{call.name} is not a tool that pymongo can repeat")
    seen = result(call)
    if call.name == "aggregate":
        # Groups come in any order.
        seen, wanted = _sorted(seen), _sorted(wanted)
    cut = False
    if call.arguments.get("responseBytesLimit") and isinstance(seen, list) and seen:
        # The tool cuts off what is more than so many bytes.
        cut, wanted = len(seen) < len(wanted), wanted[: len(seen)]
    if seen != wanted:
        return _Checked(
            False, f"{call.name} gave {_brief(seen)}, and pymongo reads {_brief(wanted)}"
        )
    gave = replace(given(call, wanted), cut=cut)
    if wanted == []:
        why = f"{call.name} found nothing with {json.dumps(dict(call.arguments))[:200]}"
        return _Checked(False, why, gave)
    values = [v for v in scalars(wanted) if not contains(question, v)]
    if not values:
        return _Checked(False, f"all that {call.name} gave stands in the question already", gave)
    # "no" and "one" are in many a sentence about a document.
    least = 0 if call.name == "count" else 2
    quoted = [value for value in values if contains(text, value, spelled_from=least)]
    enough = len(quoted) == len(values) if call.name == "list-collections" else bool(quoted)
    if not enough:
        lacks = ", ".join(v for v in values if v not in quoted)[:200]
        return _Checked(False, f"the answer lacks what {call.name} gave: {lacks}", gave)
    why = f"{source} gives the same, and the answer quotes {', '.join(quoted)[:200]}"
    return _Checked(True, why, gave)


def _runbook(question: str, text: str, call: ToolCall, folder: Path, least: int) -> _Checked:
    """Whether what was found stands in a runbook on disk, and the answer quotes its facts."""
    texts = chunks(call.result)
    if not texts:
        return _Checked(False, "the search found no runbook")
    if call.nearness is not None and call.nearness < NEAR:
        return _Checked(False, "the search found nothing near the question")
    found = dict.fromkeys(runbook_with(chunk, folder) for chunk in texts)
    if "" in found:
        strange = next(chunk for chunk in texts if not runbook_with(chunk, folder))
        why = f"what the search gave stands in no runbook: {_brief(plain(strange))}"
        return _Checked(False, why)
    gave = Given(texts=tuple(texts), asked=tuple(found))
    own = {fact for chunk in texts for fact in vocabulary.facts(chunk)}
    quoted = sorted(fact for fact in own if _quotes(text, fact) and not contains(question, fact))
    if len(quoted) + sum(re.search("[ =]", fact) is not None for fact in quoted) < least:
        seen = ", ".join(quoted) or "none"
        why = f"the answer quotes too little of {', '.join(found)}: {seen}"
        return _Checked(False, why, gave)
    why = f"it stands in {', '.join(found)}, and the answer quotes {', '.join(quoted)[:200]}"
    return _Checked(True, why, gave)


def _quotes(text: str, fact: str) -> bool:
    """Whether the text holds it; of a variable with a value, ``LIMIT=23``, it may hold both."""
    name, _, value = fact.partition("=")
    both = re.fullmatch(r"\w+", name) and value and contains(text, name) and contains(text, value)
    return bool(both) or contains(text, fact)


def _sorted(documents: Any) -> Any:
    return sorted(documents, key=str) if isinstance(documents, list) else documents


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:119] + "…"
