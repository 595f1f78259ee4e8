"""Values of the results that stand in the wrong place of an answer.

Beside a field's word stands a value of that field, in a sentence about one document a value of that
document, and a runbook's number beside the words that it has in the runbook.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from workshop.agent.proof.claims import NEGATED
from workshop.agent.proof.given import Given, Held
from workshop.agent.proof.values import (
    TYPED,
    Figure,
    contains,
    figures,
    find_all,
    number,
    plain,
    scalars,
    spelled,
    wider,
)
from workshop.agent.proof.vocabulary import Vocabulary, is_plain, kind, stems

FILLER = (
    r"(?:[\s:*\"'=]|\b(?:at|on|is|are|was|were|to|by|since|in|as|the|date|time|of|with|a|an|be|been|"
    r"has|have|had|named|called|currently|which|name|team|am|um|seit|von)\b)*"
)
"""What may stand between a field's word and its value."""

LABELLED = re.compile(
    r"^[\s>*-]*(?:\d+[.)]\s)?[*_`\"]*([A-Za-z][\w ]*?)[*_`\"]*\s*:[*_`\"]*\s+(.+?)[*_`\",.]*$"
)
"""A line such as "Title: ..."."""


def misplaced(text: str, held: Held, known: Vocabulary) -> str:
    """Which value of the text is in the wrong place; "" when none is.

    Args:
        text: The answer.
        held: What it may say.
        known: What the data knows.
    """
    text = text.translate(TYPED)
    return next((why for rule in RULES for why in rule(text, held, known)), "")


def _fields(text: str, held: Held, known: Vocabulary) -> Iterator[str]:
    """Beside a field's word stands a value of that field."""
    for one in held.given:
        for name in one.names:
            values = scalars([document.get(name) for document in one.documents])
            sort = known.kinds.get((one.collection, name)) or (kind(values[0]) if values else "")
            for stem in stems(name) if sort else ():
                cue = rf"\b{stem}\w{{0,4}}\b"
                for said in _beside(text, cue, sort, known):
                    if not any(_same(said, value) for value in held.of_field(name)):
                        shown = said if isinstance(said, str) else said.written
                        yield f"the answer gives {shown} as {name}, where the data has " + (
                            ", ".join(held.of_field(name)[:3]) or "none"
                        )


def _beside(text: str, cue: str, sort: str, known: Vocabulary) -> Iterator[str | Figure]:
    read = [one for one in (*figures(text), *spelled(text)) if one.kind == sort]
    for match in re.finditer(cue, text, re.IGNORECASE):
        after = re.compile(FILLER, re.IGNORECASE).match(text, match.end())
        at = after.end() if after else match.end()
        yield from (one for one in read if one.start == at)
        if sort == "number":
            yield from (one for one in read if text[one.end : match.start()].strip(" *") == ""
                        and one.end < match.start())  # fmt: skip
        elif sort == "word":
            for word in known.words:
                flags = 0 if len(word) <= 2 else re.IGNORECASE
                if not is_plain(word) and word not in known.ids:
                    before = rf"{re.escape(word)}\s+(?:is |was )?(?:the |an? |its )?$"
                    later = re.match(r"\s+(?:to|by|on|at|in)\b", text[match.end() :])
                    if re.match(rf"{re.escape(word)}(?![\w-])", text[at:], flags) or (
                        not later and re.search(before, text[: match.start()], re.IGNORECASE)
                    ):
                        yield word


def _same(said: str | Figure, value: str) -> bool:
    if isinstance(said, str):
        return plain(value).lower() == said.lower()
    readings = {wide for one in figures(value) for r in one.readings for wide in wider(r)}
    return bool(said.readings & (readings | {r for one in figures(value) for r in one.readings}))


def _labels(text: str, held: Held, _: Vocabulary) -> Iterator[str]:
    """In a line "Title: ..." stands a value of the field ``title``."""
    for line in text.splitlines():
        label = LABELLED.match(line)
        if label is None:
            continue
        name = label.group(1).strip().lower().replace(" ", "_")
        values = held.of_field(name)
        said = label.group(2)
        if values and not any(contains(said, value) or contains(value, said) for value in values):
            yield f"the answer gives {said} as {name}, where the data has {', '.join(values[:3])}"


def _documents(text: str, held: Held, known: Vocabulary) -> Iterator[str]:
    """In a sentence about one document stands no value that only another one has."""
    for one in held.given:
        documents = {str(document.get("_id")): document for document in one.documents}
        if len(documents) < 2:
            continue
        holds = {name: scalars([{**document, "_id": ""}]) for name, document in documents.items()}
        for part, name in _about(text, holds):
            others = {v for other, values in holds.items() if other != name for v in values}
            for value in others - set(holds[name]):
                counted = kind(value) == "number" and number(value) in held.counts
                if value in documents or counted or value in known.ids:
                    continue
                if contains(part, value, spelled_from=99) and not NEGATED.search(part):
                    yield f"the answer says {value} of {name}, and the result says it of another"


def _about(text: str, holds: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """The parts of the text that name one of these documents, with its name."""
    names = list(holds)
    current = ""
    for sentence in re.split(r"\n|(?<=[.!?])\s|;", text):
        named = [name for name in names if contains(sentence, name)]
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
    said = [
        re.sub(r"\W|\band\b|\bor\b|\bund\b", "", part.replace(name, "")) for part, name in parts
    ]
    yield from parts if all(said) else ()


def _passages(text: str, held: Held, _: Vocabulary) -> Iterator[str]:
    """A runbook's number stands in the answer where it stands in the runbook."""
    passages = [
        _Passage(
            figure,
            _unit(part, figure),
            _content(part),
            _content(line),
            bool(one.collection),
            _with_unit(part, figure),
        )
        for one in (*held.given, Given("question", texts=(held.question,)))
        for whole in scalars([*one.texts, *one.documents])
        for line in whole.splitlines()
        for part in _sentences(line)
        for figure in figures(part)
        if figure.kind == "number"
    ]
    for part in re.split(r"\n|(?<=[.!?])\s|,\s|\band\b", text):
        words = _content(part)
        for said in figures(part):
            unit = _unit(part, said)
            if said.kind != "number" or not unit:
                continue
            own = [
                p for p in passages if p.figure.readings & said.readings and p.unit in ("", unit)
            ]
            others = [p for p in passages if not p.of_data and p.unit == unit and p not in own]
            best = max((len(p.near & words) for p in own), default=-1)
            for other in others:
                if best < 0 or len(other.words & words) >= max(2, best + 1):
                    mine = _with_unit(part, said)
                    yield f"the answer says {mine}, and the runbook {other.written}"


@dataclass(frozen=True)
class _Passage:
    """A number in what was given: its unit, the words of its sentence and of its line."""

    figure: Figure
    unit: str
    words: set[str]
    near: set[str]
    of_data: bool
    written: str


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"\n|(?<=[.!?])\s", text) if part.strip()]


def _unit(text: str, figure: Figure) -> str:
    after = re.match(r"\s*([A-Za-z%]+)", text[figure.end :])
    return re.sub(r"s$", "", after.group(1).lower()) if after else ""


def _with_unit(text: str, figure: Figure) -> str:
    after = re.match(r"\s*[A-Za-z%]+", text[figure.end :])
    return figure.written + (after.group() if after else "")


def _content(text: str) -> set[str]:
    """The words that carry meaning, without their endings."""
    return {word[:6] for word in re.findall(r"[a-z]{4,}", text.lower())}


RULES = (_fields, _labels, _documents, _passages)
