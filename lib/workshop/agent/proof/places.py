"""Values of the results that stand in the wrong place of an answer.

Beside a field's word stands a value of that field, in a sentence about one document a value of that
document, and a runbook's number beside the words that it has in the runbook.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from workshop.agent.proof.claims import NEGATED
from workshop.agent.proof.evidence import Evidence, Returned, Vocabulary, is_plain, kind
from workshop.agent.proof.values import (
    Figure,
    contains,
    figures,
    find_all,
    number,
    plain,
    scalars,
    spelled,
)

FILLER = re.compile(
    r"(?:[\s:*\"'=]|\b(?:at|on|is|are|was|were|to|by|since|in|as|the|date|time|of|with|a|an|be|been|"
    r"has|have|had|named|called|currently|which|name|team|am|um|seit|von)\b)*",
    re.IGNORECASE,
)
"""What may stand between a field's word and its value."""

LABELLED = re.compile(
    r"^[\s>*-]*(?:\d+[.)]\s)?[*_`\"]*([A-Za-z][\w ]*?)[*_`\"]*\s*:[*_`\"]*\s+(.+?)[*_`\",.]*$"
)
"""A line such as "Title: ..."."""

ENDING = re.compile(r"(?:ees?|ers?|ed|ing|es?|s)$")


def _fields(text: str, held: Evidence) -> Iterator[str]:
    """Beside a field's word stands a value of that field."""
    for one in held.returned:
        for name in one.names:
            values = scalars([document.get(name) for document in one.documents])
            sort = held.known.kinds.get((one.collection, name)) or "".join(map(kind, values[:1]))
            stem = _stem(name) if sort else ""
            for said in _beside(text, rf"\b{stem}\w{{0,4}}\b", sort, held.known) if stem else ():
                if not any(_same(said, value) for value in held.of_field(name)):
                    yield _differs(said.written, name, held)


def _stem(name: str) -> str:
    """The last word of a field's name without its ending: ``opened_at`` gives ``open``.

    A field that names another document, such as ``incident_id``, gives none.
    """
    if name.endswith("_id") or name in ("_id", "name"):
        return ""
    parts = [part for part in name.lower().split("_") if part not in ("at", "on", "by", "date")]
    return re.escape(ENDING.sub("", parts[-1])) if parts else ""


def _differs(said: str, name: str, held: Evidence) -> str:
    values = ", ".join(held.of_field(name)[:3]) or "none"
    return f"the answer gives {said} as {name}, where the data has {values}"


def _beside(text: str, cue: str, sort: str, known: Vocabulary) -> Iterator[Figure]:
    """The values of this sort beside the cue: figures, or the data's own words."""
    read = [one for one in (*figures(text), *spelled(text)) if one.kind == sort]
    for match in re.finditer(cue, text, re.IGNORECASE):
        after = FILLER.match(text, match.end())
        at = after.end() if after else match.end()
        yield from (one for one in read if one.start == at)
        if sort == "number":
            yield from (one for one in read if text[one.end : match.start()].strip(" *") == ""
                        and one.end < match.start())  # fmt: skip
        for word in known.words if sort == "word" else {}:
            flags = 0 if len(word) <= 2 else re.IGNORECASE
            if not is_plain(word) and word not in known.ids:
                before = rf"{re.escape(word)}\s+(?:is |was )?(?:the |an? |its )?$"
                later = re.match(r"\s+(?:to|by|on|at|in)\b", text[match.end() :])
                if re.match(rf"{re.escape(word)}(?![\w-])", text[at:], flags) or (
                    not later and re.search(before, text[: match.start()], re.IGNORECASE)
                ):
                    yield Figure("word", word, frozenset(), at, at)


def _same(said: Figure, value: str) -> bool:
    if said.kind == "word":
        return plain(value).lower() == said.written.lower()
    return any(said.readings & one.wider for one in figures(value))


def _labels(text: str, held: Evidence) -> Iterator[str]:
    """In a line "Title: ..." stands a value of the field ``title``."""
    for label in filter(None, map(LABELLED.match, text.splitlines())):
        name, said = label[1].strip().lower().replace(" ", "_"), label[2]
        values = held.of_field(name)
        if values and not any(contains(said, value) or contains(value, said) for value in values):
            yield _differs(said, name, held)


def _documents(text: str, held: Evidence) -> Iterator[str]:
    """In a sentence about one document stands no value that only another one has."""
    for one in held.returned:
        holds = {str(d.get("_id")): scalars([{**d, "_id": ""}]) for d in one.documents}
        if len(holds) < 2:
            continue
        for part, name in _about(text, holds):
            others = {v for other, values in holds.items() if other != name for v in values}
            for value in others - set(holds[name]):
                counted = kind(value) == "number" and number(value) in held.counts
                if value in holds or counted or value in held.known.ids:
                    continue
                if contains(part, value, spelled_from=99) and not NEGATED.search(part):
                    yield f"the answer says {value} of {name}, and the result says it of another"


def _about(text: str, holds: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """The parts of the text that name one of these documents, with its name."""
    current = ""
    for sentence in re.split(r"\n|(?<=[.!?])\s|;", text):
        named = [name for name in holds if contains(sentence, name)]
        if len(named) > 1:
            yield from _each(sentence, {name: holds[name] for name in named})
            current = ""
        elif named:
            current = named[0]
            yield sentence, current
        elif current and re.match(r"\s+\S|\s*[-*]\s|\s*(?:It|He|She|Its)\b", sentence):
            yield sentence, current
        elif sentence.strip():
            current = ""


def _each(sentence: str, names: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """The parts of a sentence that names several documents; none where it lists their names."""
    places = sorted((m.start(), name) for name in names for m in find_all(sentence, name))
    ends = [start for start, _ in places[1:]] + [len(sentence)]
    parts = [(sentence[start:end], name) for (start, name), end in zip(places, ends, strict=True)]
    before = sentence[: places[0][0]]
    if any(contains(before, value) for values in names.values() for value in values):
        # "15 medium, 10 high": the values stand before the names.
        parts = []
        for part in re.split(r",|\band\b|\bwhile\b|\bund\b", sentence):
            here = [name for name in names if contains(part, name)]
            parts += [(part, here[0])] if len(here) == 1 else []
    if all(re.sub(r"\W|\band\b|\bor\b|\bund\b", "", part.replace(n, "")) for part, n in parts):
        yield from parts


class _Passage(NamedTuple):
    """A number in what was returned, its unit, and the words of its sentence and of its line."""

    readings: frozenset[str]
    unit: str
    written: str
    words: set[str]
    near: set[str]
    of_data: bool


def _passages(text: str, held: Evidence) -> Iterator[str]:
    """A runbook's number stands in the answer where it stands in the runbook."""
    passages = [
        _Passage(*_measure(part, one), _content(part), _content(line), bool(source.collection))
        for source in (*held.returned, Returned("question", texts=(held.question,)))
        for whole in scalars([*source.texts, *source.documents])
        for line in whole.splitlines()
        for part in re.split(r"(?<=[.!?])\s", line)
        for one in figures(part)
        if one.kind == "number"
    ]
    for part in re.split(r"\n|(?<=[.!?])\s|,\s|\band\b", text):
        words = _content(part)
        for one in figures(part):
            said, unit, written = _measure(part, one)
            if one.kind != "number" or not unit:
                continue
            own = [p for p in passages if p.readings & said and p.unit in ("", unit)]
            best = max((len(p.near & words) for p in own), default=-1)
            for other in passages:
                if other.of_data or other.unit != unit or other.readings & said:
                    continue
                if best < 0 or len(other.words & words) >= max(2, best + 1):
                    yield f"the answer says {written}, and the runbook {other.written}"


def _measure(text: str, figure: Figure) -> tuple[frozenset[str], str, str]:
    """What a number may mean, its unit in the singular, and both as they are written."""
    unit = re.match(r"\s*([A-Za-z%]+)", text[figure.end :])
    if unit is None:
        return figure.readings, "", figure.written
    return figure.readings, unit[1].lower().removesuffix("s"), figure.written + unit[0]


def _content(text: str) -> set[str]:
    """The words that carry meaning, without their endings."""
    return {word[:6] for word in re.findall(r"[a-z]{4,}", text.lower())}


RULES = (_fields, _labels, _documents, _passages)
