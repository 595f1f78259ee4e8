"""What the data knows: the values of its documents and of its runbooks, and their fields."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workshop.agent.proof.values import figures, plain, scalars

READ = 2000
"""Of a collection at most so many documents are read: a user's own may be large."""

FACTS = re.compile(r"`([^`]+)`|(#[a-z][\w-]+)|(\b[a-z]+-team\b)|(\b\d[\d.]*\b)")
"""What is a runbook's own: commands and names in backquotes, channels, teams, numbers."""

ENDING = re.compile(r"(?:ees?|ers?|ed|ing|es?|s)$")

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

    @property
    def endings(self) -> set[str]:
        """The last parts of names with hyphens, such as ``team``: what a made-up name has too."""
        named = (word for word in self.words if re.fullmatch(r"[a-z]+(-[a-z]+)+", word))
        return {word.rsplit("-", 1)[1] for word in named}


def read(database: Any | None, runbooks: Path) -> Vocabulary:
    """Read what the data knows.

    Args:
        database: As ``mongodb.connected`` gives it; None when there is no database.
        runbooks: The folder that the vector store was filled from.
    """
    found = Vocabulary()
    if database is not None:
        for name in database.list_collection_names():
            for document in database[name].find().limit(READ):
                _add(found, name, document)
    for path in sorted(runbooks.glob("*.md")):
        found.facts |= {path.name, *facts(path.read_text(encoding="utf-8"))}
    return found


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


def stems(name: str) -> list[str]:
    """The words of a field's name without their endings: ``opened_at`` gives ``open``.

    A field that names another document, such as ``incident_id``, gives none.
    """
    if name.endswith("_id") or name in ("_id", "name"):
        return []
    parts = [part for part in name.lower().split("_") if part not in ("at", "on", "by", "date")]
    return [re.escape(ENDING.sub("", part)) for part in parts[-1:]]


def _add(found: Vocabulary, collection: str, document: Mapping[str, Any]) -> None:
    found.ids.add(str(document.get("_id")))
    for name, value in document.items():
        for each in scalars(value):
            here = kind(each)
            found.kinds.setdefault((collection, name), here)
            if here == "word":
                found.words[plain(each)].add((collection, name))
