"""What an answer is held against: what its calls returned, made again, and what the data knows."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workshop.agent.answer import Answer, ToolCall
from workshop.agent.proof.values import TYPED, figures, find_all, plain, scalars, spelled
from workshop.clients import mcp
from workshop.parts import mongodb

COUNT = re.compile(r"Found (\d+) documents")  # How MCP server 3.x words the result of ``count``.
LIMIT = 10  # How many documents ``find`` gives by default: MCP server 3.0.
ORDERS = {"asc": 1, "ascending": 1, "desc": -1, "descending": -1, "1": 1, "-1": -1}

READ = 2000  # Of a collection at most so many documents are read: a user's own may be large.

FACTS = re.compile(r"`([^`]+)`|(#[a-z][\w-]+)|(\b[a-z]+-team\b)|(\b\d[\d.]*\b)")
"""What is a runbook's own: commands and names in backquotes, channels, teams, numbers."""

PLACEHOLDER = re.compile(r"<[\w -]+>|\b[A-Z]{3,}\b")
"""Where a command wants a name to be filled in."""

COMPUTES = re.compile(r"\$(?:avg|divide|median|percentile)\b")  # It gives an average.


def read_again(call: ToolCall, default: Any) -> tuple[Any, str]:
    """What pymongo gives for the same arguments, and how; None for a tool that it cannot repeat."""
    arguments = call.arguments
    name = str(arguments.get("collection", ""))
    database = default.client[str(arguments.get("database") or mongodb.DATABASE)]
    if call.name == "list-collections":
        return sorted(database.list_collection_names()), "pymongo's list_collection_names"
    if call.name == "count":
        query = _typed(arguments.get("query") or {})
        return database[name].count_documents(query), f"pymongo's count_documents({query})"
    if call.name == "find":
        query = _typed(arguments.get("filter") or {})
        found = database[name].find(query, arguments.get("projection") or None)
        if sort := arguments.get("sort"):
            found = found.sort([(k, ORDERS.get(str(v).lower(), v)) for k, v in sort.items()])
        return list(found.limit(int(arguments.get("limit") or LIMIT))), f"pymongo's find({query})"
    if call.name == "aggregate":
        pipeline = _typed(arguments.get("pipeline") or [])
        return list(database[name].aggregate(pipeline)), f"pymongo's aggregate({pipeline})"
    return None, ""


def _typed(query: Any) -> Any:
    """The tool takes dates and ids as Extended JSON, pymongo as objects."""
    from bson import json_util

    return json_util.loads(json.dumps(query))


def result(call: ToolCall) -> Any:
    """The data in the tool's text, in the shape in which pymongo gives it; else the text."""
    if call.name == "count":
        found = COUNT.search(call.result)
        return int(found.group(1)) if found else call.result
    try:
        data = _typed(mcp.json_in(call.result))
        if call.name == "list-collections":
            data = sorted(entry["name"] for entry in data["collections"])
    except (KeyError, TypeError, ValueError):
        # A reading without a match has no data section.
        nothing = call.name in ("find", "aggregate") and "resulted in 0" in call.result
        return [] if nothing else call.result
    return data


def chunks(result: str) -> list[str]:
    """The texts that a search gave, as ``answer.read`` keeps them."""
    try:
        return [str(text) for text in json.loads(result)]
    except (TypeError, ValueError):
        return []


def runbook_with(chunk: str, folder: Path) -> str:
    """The name of the runbook in which the text stands. Servers name the file differently."""
    for path in sorted(folder.glob("*.md")):
        if plain(chunk) in plain(path.read_text(encoding="utf-8")):
            return path.name
    return ""


@dataclass(frozen=True)
class Returned:
    """What one call returned, where pymongo or the runbook on disk says the same."""

    collection: str = ""  # In which it looked; "" for a search.
    documents: tuple[Mapping[str, Any], ...] = ()  # Of ``find`` and ``aggregate``.
    texts: tuple[str, ...] = ()  # What else it returned: a number, names, the text of a runbook.
    asked: tuple[str, ...] = ()  # The values for which it filtered; of a search, runbooks' names.
    cut: bool = False  # Whether there are more documents than these: who counts them knows nothing.

    @property
    def names(self) -> list[str]:
        """The names of all fields of the documents."""
        return list(dict.fromkeys(str(name) for document in self.documents for name in document))

    def counts(self) -> Iterator[str]:
        """The numbers that somebody finds who counts what was returned."""
        if self.cut:
            return
        if self.documents:
            yield str(len(self.documents))
        elif len(self.texts) > 1:
            yield str(len(self.texts))
        for name in self.names:
            values = [document.get(name) for document in self.documents]
            yield from (str(len(value)) for value in values if isinstance(value, list))
            counted = Counter(v for value in values for v in scalars(value) or ["(none)"])
            yield from map(str, [len(counted), *counted.values()])


def returned(call: ToolCall, found: Any, *, cut: bool) -> Returned:
    """What the call returned: ``found``, as pymongo gives it."""
    listed = found if isinstance(found, list) else [found]
    arguments = call.arguments
    asked = [arguments.get("query"), arguments.get("filter")]
    asked += [stage.get("$match") for stage in arguments.get("pipeline") or []]
    return Returned(
        str(arguments.get("collection") or call.name),
        tuple(one for one in listed if isinstance(one, dict)),
        tuple(str(one) for one in listed if not isinstance(one, dict)),
        (str(arguments.get("database", "")), *_equal(asked)),
        cut,
    )


def _equal(query: Any) -> Iterator[str]:
    """The values for which a query asks: not those that it shuts out, or compares with."""
    if isinstance(query, dict):
        for name, value in query.items():
            if not name.startswith("$") or name in ("$eq", "$in", "$and", "$or"):
                yield from _equal(value)
    elif isinstance(query, list):
        for value in query:
            yield from _equal(value)
    elif isinstance(query, str | int | float) and not isinstance(query, bool):
        yield str(query)


class Evidence:
    """All that an answer may say, and the values that the data knows.

    Attributes:
        text: What the calls returned, names of fields, what was filtered for, and the question.
        numbers: Those in it, as ``figures`` reads them.
        dates: All that may be said of the dates and times in it.
        counts: What somebody finds who counts what was returned.
        averaged: Whether a call computed an average.
        words: Each value of the data that is a text, with the collections and fields of it.
        kinds: Of each collection and field what its values are: ``date``, ``number`` or ``word``.
        ids: The ids of documents: what others refer to.
        facts: What stands in runbooks alone: commands, channels, file names.
        endings: The last parts of names with hyphens, such as ``team``: made-up names have them.
    """

    def __init__(
        self, said: Answer, returned: Sequence[Returned], database: Any | None, runbooks: Path
    ) -> None:
        self.question, self.returned = said.question, returned
        arguments = json.dumps([call.arguments for call in said.tool_calls], default=str)
        self.averaged = COMPUTES.search(arguments) is not None
        held = [said.question]
        for one in returned:
            held += [*scalars([*one.documents, *one.texts]), one.collection, *one.asked]
            held += [form for name in one.names for form in (name, name.replace("_", " "))]
        self.text = "\n".join(held).translate(TYPED)
        read = [figure for value in held for figure in (*figures(value), *spelled(value))]
        self.dates = {wide for one in read if one.kind == "date" for wide in one.wider}
        self.numbers = {r for one in read if one.kind == "number" for r in one.readings}
        self.numbers |= {date[:4] for date in self.dates if re.match(r"\d{4}-", date)}
        self.counts = {count for one in returned for count in one.counts()}
        self.words: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self.kinds: dict[tuple[str, str], str] = {}
        self.ids: set[str] = set()
        if database is not None:
            self._read(database)
        named = (word for word in self.words if re.fullmatch(r"[a-z]+(-[a-z]+)+", word))
        self.endings = {word.rsplit("-", 1)[1] for word in named}
        self.facts: set[str] = set()
        for path in sorted(runbooks.glob("*.md")):
            self.facts |= {path.name, *facts(path.read_text(encoding="utf-8"))}

    def _read(self, database: Any) -> None:
        for collection in database.list_collection_names():
            for document in database[collection].find().limit(READ):
                self.ids.add(str(document.get("_id")))
                for name, value in document.items():
                    for each in scalars(value):
                        self.kinds.setdefault((collection, name), kind(each))
                        if kind(each) == "word":
                            self.words[plain(each)].add((collection, name))

    def of_field(self, name: str) -> list[str]:
        """The values that the field has in the documents."""
        return scalars([document.get(name) for one in self.returned for document in one.documents])

    def has(self, word: str) -> bool:
        """Whether a value, a name of a field or the question holds the word."""
        return any(any(find_all(self.text, one)) for one in {word, word.replace("-", " ")})

    def says(self, words: str) -> bool:
        """Whether the words stand together in it, whatever marks stand between them.

        ``<node-name>`` is as good as ``NODE``.
        """
        filled = (PLACEHOLDER.sub(" x ", one) for one in (words, self.text))
        said, text = (re.sub(r"[\W_]+", " ", one).strip().lower() for one in filled)
        return f" {said} " in f" {text} "


def facts(text: str) -> Iterator[str]:
    """What a runbook's text has for its own."""
    for line in text.splitlines():
        # The number of a step is no fact.
        for groups in FACTS.findall(re.sub(r"^\s*\d+\.\s", "", line)):
            yield next(group for group in groups if group).rstrip(".")


def is_plain(word: str) -> bool:
    """Whether a value is a word that also stands in sentences that are not about the data."""
    return re.fullmatch(r"[a-z]+", word) is not None


def kind(value: str) -> str:
    """Whether a value is a ``date``, a ``number`` or a ``word``."""
    read_as = figures(value)
    return read_as[0].kind if len(read_as) == 1 and read_as[0].written == value else "word"
