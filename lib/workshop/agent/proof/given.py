"""What the calls of an answer surely gave: all that the answer may say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workshop.agent.proof.values import TYPED, figures, find_all, scalars, spelled, wider

PLACE = re.compile(r"<[\w -]+>|\b[A-Z]{3,}\b")
"""Where a command wants a name to be filled in."""


@dataclass(frozen=True)
class Given:
    """What a call gave, and what pymongo or the runbook on disk gives as well.

    Args:
        collection: In which it looked; "" for a search.
        documents: Of ``find`` and ``aggregate``.
        texts: What else it gave: a number, names, the text of a runbook.
        asked: The values for which it filtered.
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


@dataclass(frozen=True)
class Held:
    """All that an answer may say.

    Args:
        given: What the calls gave.
        question: What stands in it may be repeated.
        text: All values, names of fields and what was filtered for, a line each.
        numbers: As ``figures`` reads them.
        dates: All that may be said of the dates and times.
        counts: What somebody finds who counts what was returned.
    """

    given: Sequence[Given]
    question: str
    text: str
    numbers: frozenset[str]
    dates: frozenset[str]
    counts: frozenset[str]

    @classmethod
    def of(cls, question: str, given: Sequence[Given]) -> Held:
        """From a question and what the calls gave."""
        values = [value for one in given for value in scalars([*one.documents, *one.texts])]
        words = [question, *values]
        for one in given:
            names = one.names
            words += [one.collection, *one.asked, *names, *(n.replace("_", " ") for n in names)]
        read = [figure for word in words for figure in figures(word)]
        dates = {w for one in read if one.kind == "date" for r in one.readings for w in wider(r)}
        numbers = {reading for one in read if one.kind == "number" for reading in one.readings}
        numbers |= {date[:4] for date in dates if re.match(r"\d{4}-", date)}
        numbers |= {reading for word in words for one in spelled(word) for reading in one.readings}
        text = "\n".join(words).translate(TYPED)
        counts = frozenset(_counts(given))
        return cls(given, question, text, frozenset(numbers), frozenset(dates), counts)

    @property
    def documents(self) -> list[Mapping[str, Any]]:
        """All documents that the calls gave."""
        return [document for one in self.given for document in one.documents]

    def of_field(self, name: str) -> list[str]:
        """The values that the field has in the documents."""
        return scalars([document.get(name) for document in self.documents])

    def has(self, word: str) -> bool:
        """Whether a value, a name of a field or the question holds the word."""
        return any(any(find_all(self.text, one)) for one in {word, word.replace("-", " ")})

    def says(self, words: str) -> bool:
        """Whether the words stand together in it, whatever marks stand between them.

        ``<node-name>`` is as good as ``NODE``.
        """
        filled = (PLACE.sub(" x ", one) for one in (words, self.text))
        said, text = (re.sub(r"[\W_]+", " ", one).strip().lower() for one in filled)
        return f" {said} " in f" {text} "


def _counts(given: Sequence[Given]) -> Iterator[str]:
    """The numbers that somebody finds who counts what was returned."""
    for one in given:
        if one.cut:
            continue
        if one.documents:
            yield str(len(one.documents))
        elif len(one.texts) > 1:
            yield str(len(one.texts))
        for name in one.names:
            values = [document.get(name) for document in one.documents]
            yield from (str(len(value)) for value in values if isinstance(value, list))
            counted = Counter(v for value in values for v in scalars(value) or ["(none)"])
            yield str(len(counted))
            yield from map(str, counted.values())
