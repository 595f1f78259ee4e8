"""What an answer is held against: what its calls returned, and what the data knows."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from workshop.agent.proof.values import TYPED, figures, find_all, plain, scalars, spelled

READ = 2000
"""Of a collection at most so many documents are read: a user's own may be large."""

FACTS = re.compile(r"`([^`]+)`|(#[a-z][\w-]+)|(\b[a-z]+-team\b)|(\b\d[\d.]*\b)")
"""What is a runbook's own: commands and names in backquotes, channels, teams, numbers."""

PLACEHOLDER = re.compile(r"<[\w -]+>|\b[A-Z]{3,}\b")
"""Where a command wants a name to be filled in."""

Field = tuple[str, str]
"""A collection and the name of a field in it."""


@dataclass
class Vocabulary:
    """The values that the data knows.

    Args:
        words: Each value that is a text, with the fields in which it stands.
        kinds: Of each field what its values are: ``date``, ``number`` or ``word``.
        ids: The ids of documents: what others refer to.
        facts: What stands in runbooks alone: commands, channels, file names.
    """

    words: dict[str, set[Field]] = field(default_factory=lambda: defaultdict(set))
    kinds: dict[Field, str] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    facts: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, database: Any, runbooks: Path) -> Vocabulary:
        """Read it from the database, None where there is none, and from the runbooks' folder."""
        found = cls()
        for collection in database.list_collection_names() if database is not None else ():
            for document in database[collection].find().limit(READ):
                found.ids.add(str(document.get("_id")))
                for name, value in document.items():
                    for each in scalars(value):
                        found.kinds.setdefault((collection, name), kind(each))
                        if kind(each) == "word":
                            found.words[plain(each)].add((collection, name))
        for path in sorted(runbooks.glob("*.md")):
            found.facts |= {path.name, *facts(path.read_text(encoding="utf-8"))}
        return found

    @cached_property
    def endings(self) -> set[str]:
        """The last parts of names with hyphens, such as ``team``: what a made-up name has too."""
        named = (word for word in self.words if re.fullmatch(r"[a-z]+(-[a-z]+)+", word))
        return {word.rsplit("-", 1)[1] for word in named}


@dataclass(frozen=True)
class Returned:
    """What one call returned, where pymongo or the runbook on disk says the same.

    Args:
        collection: In which it looked; "" for a search.
        documents: Of ``find`` and ``aggregate``.
        texts: What else it returned: a number, names, the text of a runbook.
        asked: The values for which it filtered; of a search, the runbooks' names.
        cut: Whether there are more documents than these: who counts them knows nothing.
    """

    collection: str = ""
    documents: tuple[Mapping[str, Any], ...] = ()
    texts: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    cut: bool = False

    @property
    def names(self) -> set[str]:
        """The names of all fields of the documents."""
        return {str(name) for document in self.documents for name in document}

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


class Evidence:
    """All that an answer may say: what the calls returned, and what the question says.

    Attributes:
        averaged: Whether a call computed an average.
        text: All values, names of fields and what was filtered for, a line each.
        numbers: Those in it, as ``figures`` reads them.
        dates: All that may be said of the dates and times in it.
        counts: What somebody finds who counts what was returned.
    """

    def __init__(
        self, question: str, returned: Sequence[Returned], known: Vocabulary, *, averaged: bool
    ) -> None:
        self.question, self.returned, self.known = question, returned, known
        self.averaged = averaged
        words = [question]
        words += [v for one in returned for v in scalars([*one.documents, *one.texts])]
        for one in returned:
            words += [one.collection, *one.asked, *one.names]
            words += [name.replace("_", " ") for name in one.names]
        self.text = "\n".join(words).translate(TYPED)
        read = [figure for word in words for figure in (*figures(word), *spelled(word))]
        self.dates = {wide for one in read if one.kind == "date" for wide in one.wider}
        self.numbers = {r for one in read if one.kind == "number" for r in one.readings}
        self.numbers |= {date[:4] for date in self.dates if re.match(r"\d{4}-", date)}
        self.counts = {count for one in returned for count in one.counts()}

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
