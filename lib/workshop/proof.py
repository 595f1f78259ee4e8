"""The proof that an answer rests on the data: each tool call is made again, by pymongo.

Three things must hold: a tool was called without error; what the tool gave is what pymongo, or the
runbook on disk, gives for the same arguments; and the answer quotes values from it. A question
whose true values are known (`questions.py`) must have those values in its answer as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from workshop import mcp_server, mongodb
from workshop.answers import ToolCall
from workshop.errors import AnswerNotGrounded

FILE_SEARCH = "file_search"
COUNT = re.compile(r"Found (\d+) documents")
"""How MCP server 3.x words the result of ``count``; the Responses API hands on the text alone."""

QUOTED = 2
"""Of a runbook's facts, how many the answer must hold: one could be there by chance."""

WORDS: tuple[str, ...] = (
    *("no|none|zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen", "twenty"),
)
"""Numbers as people write them, for answers that do so."""

TYPED = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-") | dict.fromkeys("\u2018\u2019", "'")
)
"""What models write with typographic care, and data does not have."""

FACTS = re.compile(r"`([^`]+)`|(#[a-z][\w-]+)|(\b[a-z]+-team\b)|(\b\d[\d.]*\b)")
"""What is a runbook's own: commands and names in backquotes, channels, teams, numbers."""


def prove(
    question: str,
    text: str,
    calls: Sequence[ToolCall],
    *,
    database: Any | None,
    runbooks: Path,
    truth: Sequence[str] = (),
    quoted: int = QUOTED,
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

    Raises:
        AnswerNotGrounded: With the reason.
    """
    if not calls:
        raise _not("no tool was called", text, "ask so that a tool is needed, or use a model "
                   "that calls tools: 02_serve_model checks that")  # fmt: skip
    failed = [call for call in calls if not call.ok]
    if len(failed) == len(calls):
        raise _not(
            f"{failed[0].name} failed: {' '.join(failed[0].result.split())[:200]}",
            text,
            failed[0].hint or "workshop status; workshop logs mcp-server",
        )
    if not text.strip():
        raise _not("the agent called a tool and then said nothing", text, "ask again")
    reasons = [_one(question, text, call, database, runbooks, quoted) for call in calls if call.ok]
    good = [reason for ok, reason in reasons if ok]
    if not good:
        raise _not(reasons[-1][1], text, "read the table: the tool's result is not in the answer")
    missing = [value for value in truth if not contains(text, value)]
    if missing:
        raise _not(
            f"the data says {', '.join(truth)}, and the answer lacks {', '.join(missing)}",
            text,
            "read the table: was the right tool called with the right arguments?",
        )
    return good[-1] + (f"; the values are the true ones: {', '.join(truth)}" if truth else "")


def contains(text: str, value: str, *, spelled_from: int = 0) -> bool:
    """Whether the text holds the value as a word or number of its own.

    A word may be followed by a hyphen ("a critical-severity incident"), a name that has a hyphen
    itself may not ("order-queue" is not in "order-queue-old").

    Args:
        text: What a model wrote.
        value: What the data says.
        spelled_from: The smallest number that may also stand there in letters.

    Example:
        >>> contains("There are 11 of them.", "11"), contains("In 2011 there were 3.", "11")
        (True, False)
        >>> contains("There are nine of them.", "9")
        True
    """
    text, value = _plain(text.translate(TYPED)), _plain(value.translate(TYPED))
    if re.fullmatch(r"-?\d+", value) is None:
        name = r"(?!-\w)" if "-" in value or value.startswith("#") else ""
        word = rf"(?<!\w)(?<!\w-){re.escape(value)}(?!\w|[.,]\d){name}"
        return re.search(word, text, re.IGNORECASE) is not None
    number = int(value)
    figures = "|".join({re.escape(value), f"{number:,}"})
    # A piece of a longer number, a date, a time or an id is not the number.
    if re.search(rf"(?<![\w-])(?<!\d[.,:/])(?:{figures})(?!\w|[.,:/-]\d)", text):
        return True
    if not spelled_from <= number < len(WORDS):
        return False
    letters = rf"(?<!\w)(?<!\w-)(?:{WORDS[number]})(?!\w|-\w)"
    return re.search(letters, text, re.IGNORECASE) is not None


def _not(why: str, text: str, hint: str) -> AnswerNotGrounded:
    shown = " ".join(text.split())[:200]
    return AnswerNotGrounded(
        f"The answer is not grounded: {why}.", state=f"the answer: {shown or '(none)'}", hint=hint
    )


def _one(
    question: str, text: str, call: ToolCall, database: Any | None, runbooks: Path, least_facts: int
) -> tuple[bool, str]:
    """Whether this call grounds the answer, and why or why not."""
    if call.name == FILE_SEARCH:
        return _runbook(question, text, call, runbooks, least_facts)
    if database is None:
        return False, f"there is no database to hold {call.name} against"
    wanted, source = read_again(call, database)
    if wanted is None:
        return False, f"{call.name} is not a tool that pymongo can repeat"
    seen = _result(call)
    if call.name == "aggregate":
        # Groups come in any order.
        seen, wanted = _sorted(seen), _sorted(wanted)
    if call.arguments.get("responseBytesLimit") and isinstance(seen, list) and seen:
        # The tool cuts off what is more than so many bytes.
        wanted = wanted[: len(seen)]
    if seen != wanted:
        return False, f"{call.name} gave {_brief(seen)}, and pymongo reads {_brief(wanted)}"
    if wanted == []:
        return False, f"{call.name} found nothing with {json.dumps(dict(call.arguments))[:200]}"
    values = [v for v in scalars(wanted) if not contains(question, v)]
    if not values:
        return False, f"all that {call.name} gave stands in the question already"
    # "no" and "one" are in many a sentence about a document.
    least = 0 if call.name == "count" else 2
    quoted = [value for value in values if contains(text, value, spelled_from=least)]
    enough = len(quoted) == len(values) if call.name == "list-collections" else bool(quoted)
    if not enough:
        lacks = ", ".join(v for v in values if v not in quoted)[:200]
        return False, f"the answer lacks what {call.name} gave: {lacks}"
    return True, f"{source} gives the same, and the answer quotes {', '.join(quoted)[:200]}"


def read_again(call: ToolCall, default: Any) -> tuple[Any, str]:
    """What pymongo gives for the same arguments, and how it was asked.

    Gives None and "" for a tool that it cannot repeat.
    """
    arguments = dict(call.arguments)
    name = str(arguments.get("collection", ""))
    database = default.client[str(arguments.get("database") or mongodb.DATABASE)]
    if call.name == "list-collections":
        return sorted(database.list_collection_names()), "pymongo's list_collection_names"
    if call.name == "count":
        query = _typed(arguments.get("query") or {})
        return database[name].count_documents(query), f"pymongo's count_documents({query})"
    if call.name == "find":
        query = _typed(arguments.get("filter") or {})
        cursor = database[name].find(query, arguments.get("projection") or None)
        if arguments.get("sort"):
            order = {"asc": 1, "ascending": 1, "desc": -1, "descending": -1}
            cursor = cursor.sort([(k, order.get(v, v)) for k, v in arguments["sort"].items()])
        # 10 is the tool's own default.
        found = list(cursor.limit(int(arguments.get("limit") or 10)))
        return found, f"pymongo's find({query})"
    if call.name == "aggregate":
        pipeline = _typed(arguments.get("pipeline") or [])
        return list(database[name].aggregate(pipeline)), f"pymongo's aggregate({pipeline})"
    return None, ""


def _typed(query: Any) -> Any:
    """The tool takes dates and ids as Extended JSON, pymongo as objects."""
    from bson import json_util

    return json_util.loads(json.dumps(query))


def _result(call: ToolCall) -> Any:
    """The data in the tool's text, in the shape in which pymongo gives it."""
    if call.name == "count":
        found = COUNT.search(call.result)
        return int(found.group(1)) if found else call.result
    from bson import json_util

    try:
        data = json_util.loads(json.dumps(mcp_server.json_in(call.result)))
    except ValueError:
        # A reading without a match has no data section.
        nothing = call.name in ("find", "aggregate") and "resulted in 0" in call.result
        return [] if nothing else call.result
    if call.name == "list-collections":
        try:
            return sorted(entry["name"] for entry in data["collections"])
        except (KeyError, TypeError):
            return call.result
    return data


def _runbook(
    question: str, text: str, call: ToolCall, folder: Path, least: int
) -> tuple[bool, str]:
    """Whether what was found stands in a runbook on disk, and the answer quotes its facts."""
    texts = chunks(call.result)
    if not texts:
        return False, "the search found no runbook"
    found = dict.fromkeys(_runbook_with(chunk, folder) for chunk in texts)
    if "" in found:
        strange = next(chunk for chunk in texts if not _runbook_with(chunk, folder))
        return False, f"what the search gave stands in no runbook: {_brief(_plain(strange))}"
    facts = {fact for chunk in texts for fact in _facts(chunk)}
    quoted = sorted(fact for fact in facts if contains(text, fact) and not contains(question, fact))
    if len(quoted) < least:
        seen = ", ".join(quoted) or "none"
        return False, f"the answer quotes too little of {', '.join(found)}: {seen}"
    return True, f"it stands in {', '.join(found)}, and the answer quotes {', '.join(quoted)[:200]}"


def runbooks_found(call: ToolCall, folder: Path) -> list[str]:
    """The names of the runbooks in which the texts stand that a search gave."""
    return [name for chunk in chunks(call.result) if (name := _runbook_with(chunk, folder))]


def chunks(result: str) -> list[str]:
    """The texts that a search gave, as ``agent`` keeps them."""
    try:
        return [str(text) for text in json.loads(result)]
    except (TypeError, ValueError):
        return []


def _runbook_with(chunk: str, folder: Path) -> str:
    """The name of the runbook in which the text stands. Servers name the file differently."""
    for path in sorted(folder.glob("*.md")):
        if _plain(chunk) in _plain(path.read_text(encoding="utf-8")):
            return path.name
    return ""


def _facts(chunk: str) -> Iterator[str]:
    for line in chunk.splitlines():
        # The number of a step is no fact.
        for groups in FACTS.findall(re.sub(r"^\s*\d+\.\s", "", line)):
            yield next(group for group in groups if group).rstrip(".")


def _plain(text: str) -> str:
    return " ".join(text.split())


def scalars(value: Any) -> list[str]:
    """The values worth quoting: no nulls, no flags, no empty texts."""
    if isinstance(value, dict):
        return list(dict.fromkeys(v for inner in value.values() for v in scalars(inner)))
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return list(dict.fromkeys(v for inner in value for v in scalars(inner)))
    if value is None or isinstance(value, bool) or str(value).strip() == "":
        return []
    if isinstance(value, float) and value.is_integer():
        return [str(int(value))]
    return [str(value)]


def _sorted(documents: Any) -> Any:
    return sorted(documents, key=str) if isinstance(documents, list) else documents


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:119] + "…"
