"""The proof that an answer rests on the data: each tool call is made again, by pymongo.

Three things must hold: a tool was called without error; what the tool gave is what pymongo, or the
runbook on disk, gives for the same arguments; and the answer quotes values from it, and says no
others. Where the true values are known (`questions.py`), the answer must have them as well.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workshop.agent.answer import FILE_SEARCH, NO_TOOL, Answer, ToolCall
from workshop.agent.proof import rules
from workshop.agent.proof.evidence import (
    Evidence,
    Returned,
    chunks,
    facts,
    read_again,
    result,
    returned,
    runbook_with,
)
from workshop.agent.proof.values import TYPED, contains, plain, scalars
from workshop.core.errors import AnswerNotGrounded
from workshop.core.table import shortened
from workshop.parts import mcp_server

QUOTED = 2
"""Of a runbook's facts, how many the answer must hold: one could be there by chance. A command, or
a variable with its value, could not: it counts twice."""

NEAR = 0.24
"""How near the best hit of a search must be to the question, or to what was searched for.

Measured with all-MiniLM-L6-v2 on data/relevance.yaml: the 37 questions that a runbook answers are
nearer (0.25 to 0.70), the 30 that none answers are not (at most 0.234). What was searched for may
be a word or two, so the question counts as well, without the words that ask for a search. With most
other embedders everything is nearer than this."""

SEARCH = "search the runbooks"  # What a question says that asks for a search.
TO_SEARCH = re.compile(rf"^\W*(?:please\s+)?{SEARCH}\W*", re.IGNORECASE)
"""The words that ask for a search: they are near every runbook."""

TOOLS = "|".join((*mcp_server.ALLOWED, FILE_SEARCH))
CALL = re.compile(
    r"\"name\"\s*:.*\"(?:arguments|parameters)\"\s*:|<tool_call>|<function=|"
    rf"^\W*(?:{TOOLS})\s*[({{]|\b(?:call|run|use)\w*\s+(?:the\s+)?`(?:{TOOLS})`",
    re.DOTALL,
)
"""A tool call in words."""

TO_SHOW = re.compile(r"\b(?:show|display|print|give|json|documents?|zeig\w*)\b", re.IGNORECASE)
"""A question that asks for a document as it is."""

FEWEST = 6  # Words beside a document without which an answer is the document alone.
SHOWN = 120  # Characters of a result that an error shows.
TABLE = "read the table: the tool's result is not in the answer"
CALLS = "a model that calls tools: 02_serve_model checks that"


def prove(
    said: Answer,
    *,
    database: Any | None,
    runbooks: Path,
    truth: Sequence[str] = (),
    quoted: int = QUOTED,
    changed: Sequence[str] = (),
    both_ways: bool = True,
) -> str:
    """Say why the answer is grounded.

    Args:
        said: The answer. Its question's own words prove nothing when it repeats them.
        database: As ``mongodb.connected`` gives it; None when there is no database.
        runbooks: The folder that the vector store was filled from.
        truth: Values that must all be in the answer.
        quoted: How many of a runbook's facts must be in it.
        changed: What is not as it was before a request to change something.
        both_ways: Whether values in the answer that no result holds are refused as well.

    Raises ``AnswerNotGrounded``, with the reason.
    """
    change = asks_for_change(said.question)
    if change:
        right, reason = denies_change(said.text, changed)
        if not right:
            raise _refusal(reason, said, "the agent may only read: ask for what the data says")
    elif refused := _no_answer(said):
        raise _refusal(refused[0], said, refused[1])
    least = 0 if change else quoted
    checked = [_check(said, call, database, runbooks, least) for call in said.tool_calls if call.ok]
    if not change:
        good = [one.reason for one in checked if one.grounds]
        if not good:
            raise _refusal(checked[-1].reason, said, TABLE)
        if missing := [value for value in truth if not contains(said.text, value)]:
            why = f"the data says {', '.join(truth)}, and the answer lacks {', '.join(missing)}"
            hint = "read the table: was the right tool called with the right arguments?"
            raise _refusal(why, said, hint)
        reason = good[-1]
        reason += "; the values are the true ones" if truth else ""
    if change or both_ways:
        given = [one.returned for one in checked if one.returned]
        held = Evidence(said, given, database, runbooks)
        for why in rules.broken(said.text.translate(TYPED), held):
            raise _refusal(why, said, TABLE)
    return reason


def _no_answer(said: Answer) -> tuple[str, str] | None:
    """Why it is no answer in words, from a tool, to what was asked, and a hint; or None."""
    calls = said.tool_calls
    if not calls:
        return "no tool was called", f"ask so that a tool is needed, or use {CALLS}"
    if not any(call.ok for call in calls):
        name, failed = calls[0].name, calls[0].result
        if failed == NO_TOOL:
            hint = "use a model that calls tools more reliably: 02_serve_model checks that"
            return f"the model called {name}, which is not among its tools", hint
        hint = calls[0].hint or "workshop status; workshop logs mcp-server"
        return f"{name} failed: {plain(failed)[:200]}", hint
    if said.cut:
        return said.cut, "ask for less, or use a model that needs fewer calls"
    if not said.text.strip():
        return "the agent called a tool and then said nothing", "ask again"
    why = ""
    bare = re.sub(r"```\w*|`", "", said.text).strip()
    asks = re.search(rf"\b{SEARCH}\b", said.question, re.IGNORECASE)
    if asks and all(call.name != FILE_SEARCH for call in calls):
        why = "the question asks for the runbooks, and they were not searched"
    elif CALL.search(said.text):
        why = "it is the text of a tool call, not an answer"
    elif re.search(r"[\[{]\s*[\"'\[{]", bare) and not TO_SHOW.search(said.question):
        beside = re.sub(r"[\[{].*[\]}]|[\[{].*$", " ", bare, flags=re.DOTALL).split()
        if len(beside) < FEWEST:
            why = "it is a document as it is stored, not an answer"
    return (why, f"ask again, or use {CALLS}") if why else None


def _refusal(why: str, said: Answer, hint: str) -> AnswerNotGrounded:
    shown = plain(said.text)[:200] or "(none)"
    return AnswerNotGrounded(
        f"The answer is not grounded: {why}.", state=f"the answer: {shown}", hint=hint
    )


@dataclass(frozen=True)
class _Checked:
    """One call: whether it grounds the answer, why or why not, and what it surely returned."""

    grounds: bool
    reason: str
    returned: Returned | None = None


def _check(
    said: Answer, call: ToolCall, database: Any | None, runbooks: Path, least: int
) -> _Checked:
    if call.name == FILE_SEARCH:
        return _runbook(said, call, runbooks, least)
    if database is None:
        return _Checked(False, f"there is no database to compare {call.name} with")
    wanted, source = read_again(call, database)
    if wanted is None:
        return _Checked(False, f"{call.name} is not a tool that pymongo can repeat")
    seen = result(call)
    if call.name == "aggregate" and isinstance(seen, list):
        # Groups come in any order.
        seen, wanted = sorted(seen, key=str), sorted(wanted, key=str)
    cut = False
    if call.arguments.get("responseBytesLimit") and isinstance(seen, list) and seen:
        # The tool cuts off what is more than so many bytes.
        cut, wanted = len(seen) < len(wanted), wanted[: len(seen)]
    if seen != wanted:
        gave, reads = shortened(str(seen), SHOWN), shortened(str(wanted), SHOWN)
        return _Checked(False, f"{call.name} gave {gave}, and pymongo reads {reads}")
    sure = returned(call, wanted, cut=cut)
    if wanted == []:
        why = f"{call.name} found nothing with {json.dumps(dict(call.arguments))[:200]}"
        return _Checked(False, why, sure)
    values = [value for value in scalars(wanted) if not contains(said.question, value)]
    if not values:
        return _Checked(False, f"all that {call.name} returned is already in the question", sure)
    # "no" and "one" are in many a sentence about a document.
    least = 0 if call.name == "count" else 2
    quoted = [value for value in values if contains(said.text, value, spelled_from=least)]
    if not quoted or (call.name == "list-collections" and quoted != values):
        lacks = ", ".join(value for value in values if value not in quoted)[:200]
        return _Checked(False, f"the answer lacks what {call.name} returned: {lacks}", sure)
    why = f"{source} gives the same, and the answer quotes {', '.join(quoted)[:200]}"
    return _Checked(True, why, sure)


def _runbook(said: Answer, call: ToolCall, folder: Path, least: int) -> _Checked:
    """Whether what was found stands in a runbook on disk, and the answer quotes its facts."""
    found = {chunk: runbook_with(chunk, folder) for chunk in chunks(call.result)}
    if not found:
        return _Checked(False, "the search found no runbook")
    if call.nearness is not None and call.nearness < NEAR:
        return _Checked(False, "the search found nothing that fits the question")
    for chunk, name in found.items():
        if not name:
            shown = shortened(plain(chunk), SHOWN)
            return _Checked(False, f"what the search returned is in no runbook: {shown}")
    names = tuple(dict.fromkeys(found.values()))
    sure = Returned(texts=tuple(found), asked=names)
    own = {fact for chunk in found for fact in facts(chunk)}
    quoted = sorted(
        fact for fact in own if _quotes(said.text, fact) and not contains(said.question, fact)
    )
    if len(quoted) + sum(re.search("[ =]", fact) is not None for fact in quoted) < least:
        seen = ", ".join(quoted) or "none"
        return _Checked(False, f"the answer quotes too little of {', '.join(names)}: {seen}", sure)
    why = f"it is in {', '.join(names)}, and the answer quotes {', '.join(quoted)[:200]}"
    return _Checked(True, why, sure)


def _quotes(text: str, fact: str) -> bool:
    """Whether the text holds it; of a variable with a value, ``LIMIT=23``, it may hold both."""
    name, _, value = fact.partition("=")
    both = re.fullmatch(r"\w+", name) and value and contains(text, name) and contains(text, value)
    return bool(both) or contains(text, fact)


# --- requests to change something: the agent may only read, and must say that it changed nothing --

VERBS = (
    r"(?:delete|remove|drop|erase|purge|insert|update(?! me)|set|change|modify|rename|close|reopen|"
    r"resolve|assign|reassign|acknowledge|mark|move|replace|increase|decrease|add(?! up)|create|"
    r"write|open(?= an? )|lösche?|entferne?|ändere?|setze?|schließe?|füge?|weise?|erstelle?)\b"
    r"(?! (?:an? |the |me |eine )*(?:list|summary|table|report|overview|sentence|poem|query)\b)"
)
ASKED = re.compile(
    rf"^\W*(?:(?:please|now|first|then|bitte|(?:can|could|would|will) you|i want you to|kannst du)"
    rf"\W+)*{VERBS}|\b(?:and|then|und)\s+(?:please\s+|then\s+)?{VERBS}",
    re.IGNORECASE,
)
"""How somebody asks for a change. A question ("Which are closed?") is none."""

REFUSED = re.compile(
    r"\b(?:can ?not|can't|could not|couldn't|unable to|not able to|not allowed|not permitted|"
    r"not possible|no permission|read-only|only read|do not have|don't have|"
    r"(?:was|were|been|is|are) not|(?:was|were|is|are)n't|nothing (?:was|has)|no \w+ (?:was|were)|"
    r"kann \w+ nicht|kann nicht|nichts|nur lesen)\b",
    re.IGNORECASE,
)
"""How they say that they changed nothing."""

DONE = re.compile(
    r"\b(?:has|have|was|were|is|are|i|i've)(?: (?:been|now|successfully|just))* "
    r"(?:deleted|removed|dropped|added|inserted|created|updated|changed|set|resolved|closed|"
    r"assigned)\b|\bsuccessfully\b",
    re.IGNORECASE,
)
"""How a change is reported that was made, or is said to have been made."""

NOTHING = re.compile(r"\b(?:nothing|no|none)\b[^.;,]*$", re.IGNORECASE)
"""Before a word of ``DONE``: it was not done."""


def asks_for_change(question: str) -> bool:
    """Whether the question is a request to change something."""
    return ASKED.search(question) is not None


def denies_change(text: str, changed: Sequence[str]) -> tuple[bool, str]:
    """Whether the answer says that nothing was changed, and nothing was; and why."""
    text = text.translate(TYPED)
    if changed:
        return False, f"it wrote: {shortened(', '.join(changed), SHOWN)}"
    for claimed in DONE.finditer(text):
        if not NOTHING.search(text[: claimed.start()]):
            return False, f"nothing was written, and it says: {claimed.group()}"
    if not REFUSED.search(text):
        return False, "nothing was written, and it did not say so"
    return True, "nothing was written, and it said so"
