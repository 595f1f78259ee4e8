"""The rules that an answer breaks when it says more than its calls gave, or says it wrongly.

Each value in the answer must stand in a result or in the question, or be a simple count of what was
returned. Values are all that the data knows; and what looks like a value though nothing knows it:
a number, a date, an id, a command, a name. And a value must stand in its place: beside a field's
word one of that field, in a sentence about one document one of that document, and a runbook's
number beside the words that it has in the runbook.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from workshop.agent.proof.evidence import Evidence, is_plain, kind
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

NEGATED = re.compile(r"\b(?:not|no|never|nor|neither|without|nicht|kein\w*)\b|n't\b", re.IGNORECASE)
BEFORE_ARTICLE = re.compile(r"\s+(?:the|an?|your|our|my|its?|this|that|these|those|for|to)\b")
"""A word before one of these is a verb: "search the runbooks", "open a console"."""

NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}\b(?!['-])")  # A capital within a sentence.
QUOTED = re.compile(r"[\"“„]((?:[^\s\"“”„]+ ){2,}[^\s\"“”„]+)[\"“”]|`+([^`\n]+)`+")
FOOTER = "End of the runbook"  # Below what is found: ``footer_template`` in the servers' settings.

TOKEN = re.compile(r"#?[\w][\w.:=/-]*\w|--\w[\w=.-]*")
LISTED = re.compile(r"[\w-]+(?:, [\w-]+)+,? (?:and|und|or) [\w-]+")
AVERAGE = re.compile(r"\baverages?\b|\bthe mean\b|\bdurchschnitt\w*|\bim mittel\b", re.IGNORECASE)
GERMAN = re.compile(r"[äöüß]|\b(?:der|die|das|und|ist|wurde)\b")
"""Its nouns have capitals, so that a capital says nothing."""

FILLER = (
    r"(?:[\s:*\"'=]|\b(?:at|on|is|are|was|were|to|by|since|in|as|the|date|time|of|with|a|an|be|been|"
    r"has|have|had|named|called|currently|which|name|team|am|um|seit|von)\b)*"
)
"""What may stand between a field's word and its value."""

BEFORE = re.compile(r"[\s*]+(?:(?:is|was) )?(?:(?:the|an?|its) )?", re.IGNORECASE)
"""What may stand between a value and its field's word."""

GOES_ON = re.compile(r"\s+(?:to|by|on|at|in)\b")
"""After a field's word: its value comes then, unless it is a number."""

LABELLED = re.compile(
    r"^[\s>*-]*(?:\d+[.)]\s)?[*_`\"]*([A-Za-z][\w ]*?)[*_`\"]*\s*:[*_`\"]*\s+(.+?)[*_`\",.]*$"
)
"""A line such as "Title: ..."."""

ENDING = re.compile(r"(?:ees?|ers?|ed|ing|es?|s)$")


def broken(text: str, held: Evidence) -> Iterator[str]:
    """Why the text says more than the evidence, or says it wrongly."""
    for reader in READERS:
        for value in reader(text, held):
            yield f"the answer says {value}, which is in no result"
    for rule in (_fields, _labels, _documents, _passages, _averages):
        yield from rule(text, held)


# --- values that no result holds -----------------------------------------------------------------


def _figures(text: str, held: Evidence) -> Iterator[str]:
    listed = [one for one in held.ids if contains(text, one) and not contains(held.question, one)]
    numbers = held.numbers | held.counts | {str(len(listed))}
    for one in (*figures(text), *spelled(text)):
        if not one.readings & (numbers if one.kind == "number" else held.dates):
            yield one.written


def _known(text: str, held: Evidence) -> Iterator[str]:
    # The longest first: the words of a title are no values beside it.
    for word, places in sorted(held.words.items(), key=lambda item: -len(item[0])):
        for match in find_all(text, word):
            if not (_may_say(word, places, match, held) if is_plain(word) else held.has(word)):
                yield match.group()
            text = text[: match.start()] + " " * len(match.group()) + text[match.end() :]
    for fact in held.facts:
        if not is_plain(fact) and kind(fact) == "word" and not held.has(fact):
            yield from (match.group() for match in find_all(text, fact))


def _may_say(word: str, places: set[tuple[str, str]], match: re.Match[str], held: Evidence) -> bool:
    """Whether a word such as "open" may be said: it also stands where nothing is said of the data.

    It counts where a call looked into a collection that has such values. Where the results have
    the field, it must be one of the field's, though it stands in the question.
    """
    clause = re.split(r"[.;,:\n]", match.string[: match.start()])[-1]
    if BEFORE_ARTICLE.match(match.string, match.end()):
        return True
    if NEGATED.search(" ".join(clause.split()[-4:])):
        return True
    if not any(one.collection == collection for one in held.returned for collection, _ in places):
        return True
    shown = [name for _, name in places if any(name in one.names for one in held.returned)]
    return any(word in held.of_field(name) for name in shown) if shown else held.has(word)


def _quoted(text: str, held: Evidence) -> Iterator[str]:
    """Titles, sentences and commands, in quotation marks, that nothing knows."""
    for match in QUOTED.finditer(text):
        said = match.group(1) or match.group(2)
        if held.says(plain(said)):
            continue
        # Several lines of a runbook, perhaps without their numbers and with the server's footer.
        for sentence in re.split(r"(?<=[.!?])\s+", said):
            words = plain(sentence).strip(".,:; ")
            if words and words != FOOTER and not held.says(words):
                yield words


def _ids(text: str, held: Evidence) -> Iterator[str]:
    """What has the form of an id, a channel or an option, and that nothing knows.

    And a value with the last part of another's name: a service, and "team".
    """
    for found in _beside_figures(TOKEN, text):
        token = found.rstrip(".:/=-")
        if _like_a_value(token, held.endings) and not held.says(token):
            yield token
    for ending in held.endings:
        for match in re.finditer(rf"\b([a-z]+(?:-[a-z]+)*) {re.escape(ending)}\b", text):
            if match[1] in held.words and not held.has(match.group().replace(" ", "-")):
                yield match.group()


def _like_a_value(token: str, endings: set[str]) -> bool:
    if token.startswith(("#", "--")) or "=" in token:
        return True
    if re.fullmatch(r"\d[\d.,:/-]*[A-Za-z%°]*", token):
        return re.fullmatch(r"\d+(?:\.\d+){3}", token) is not None
    if re.search(r"\d", token) and re.search(r"[A-Za-z]", token):
        return True
    named = re.fullmatch(r"[a-z]+(?:-[a-z]+)*-([a-z]+)", token)
    return named is not None and named[1] in endings


def _names(text: str, held: Evidence) -> Iterator[str]:
    """Names within a sentence that nothing knows."""
    if not GERMAN.search(text):
        yield from (name for name in _beside_figures(NAME, text) if not held.says(name))


def _beside_figures(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """What the pattern finds in the text, but not within a number, a date or a time."""
    spans = [(one.start, one.end) for one in figures(text)]
    for match in pattern.finditer(text):
        if not any(start <= match.start() and match.end() <= end for start, end in spans):
            yield match.group()


def _listed(text: str, held: Evidence) -> Iterator[str]:
    """In "alerts, incidents and users" the one that nothing knows."""
    for match in LISTED.finditer(text):
        items = re.split(r",? (?:and|und|or) |, ", match.group())
        unknown = [item for item in items if not held.has(item)]
        if len(items) - len(unknown) >= 2:
            yield from unknown


READERS = (_figures, _known, _quoted, _ids, _names, _listed)


# --- values in a wrong place ---------------------------------------------------------------------


def _fields(text: str, held: Evidence) -> Iterator[str]:
    """Beside a field's word stands a value of that field."""
    for one in held.returned:
        for name in one.names:
            values = scalars([document.get(name) for document in one.documents])
            sort = held.kinds.get((one.collection, name)) or "".join(map(kind, values[:1]))
            for said in _beside(text, _stem(name), sort, held):
                if not any(said.readings & _readings(value) for value in held.of_field(name)):
                    yield _differs(said.written, name, held)


def _stem(name: str) -> str:
    """The last word of a field's name without its ending: ``opened_at`` gives ``open``.

    A field that names another document, such as ``incident_id``, gives none.
    """
    if name.endswith("_id") or name in ("_id", "name"):
        return ""
    parts = [part for part in name.lower().split("_") if part not in ("at", "on", "by", "date")]
    return ENDING.sub("", parts[-1]) if parts else ""


def _differs(said: str, name: str, held: Evidence) -> str:
    values = ", ".join(held.of_field(name)[:3]) or "none"
    return f"the answer gives {said} as {name}, where the data has {values}"


def _beside(text: str, stem: str, sort: str, held: Evidence) -> Iterator[Figure]:
    """The values of this sort beside the field's word: figures, or the data's own words."""
    if not (stem and sort):
        return
    read = [one for one in (*figures(text), *spelled(text)) if one.kind == sort]
    for word in held.words if sort == "word" else ():
        if not is_plain(word) and word not in held.ids:
            read += [
                Figure(sort, word, frozenset({word.lower()}), *match.span())
                for match in find_all(text, word)
            ]
    cue = re.compile(rf"\b{re.escape(stem)}\w{{0,4}}\b(?=({FILLER}))", re.IGNORECASE)
    for match in cue.finditer(text):
        comes = sort != "number" and GOES_ON.match(text, match.end())
        for one in read:
            before = not comes and BEFORE.fullmatch(text, one.end, match.start())
            if before or one.start == match.end(1):
                yield one


def _readings(value: str) -> set[str]:
    """What may be said in the place of a value: it, and what its figure may mean."""
    return {plain(value).lower(), *(wide for one in figures(value) for wide in one.wider)}


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
                if value in holds or counted or value in held.ids:
                    continue
                if contains(part, value, spelled_from=99) and not NEGATED.search(part):
                    yield f"the answer says {value} of {name}, and the result says it of another"


def _about(text: str, holds: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """The parts of the text that name one of these documents, with its name."""
    current = ""
    for sentence in re.split(r"\n|(?<=[.!?])\s|;", text):
        named = [name for name in holds if contains(sentence, name)]
        goes_on = re.match(r"\s+\S|\s*[-*]\s|\s*(?:It|He|She|Its)\b|\s*$", sentence)
        if len(named) > 1:
            yield from _each(sentence, {name: holds[name] for name in named})
            current = ""
        elif named or not goes_on:
            current = "".join(named)
        if current:
            yield sentence, current


def _each(sentence: str, names: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """The parts of a sentence that names several documents; none where it lists their names."""
    places = sorted((m.start(), name) for name in names for m in find_all(sentence, name))
    ends = [start for start, _ in places[1:]] + [len(sentence)]
    parts = [(sentence[start:end], name) for (start, name), end in zip(places, ends, strict=True)]
    before = sentence[: places[0][0]]
    if any(contains(before, value) for values in names.values() for value in values):
        # "15 medium, 10 high": the values stand before the names.
        split = re.split(r",|\band\b|\bwhile\b|\bund\b", sentence)
        found = [(part, [name for name in names if contains(part, name)]) for part in split]
        parts = [(part, here[0]) for part, here in found if len(here) == 1]
    if all(re.sub(r"\W|\band\b|\bor\b|\bund\b", "", part.replace(n, "")) for part, n in parts):
        yield from parts


class _Measure(NamedTuple):
    """A number in a text, with its unit in the singular, and the words of its sentence."""

    readings: frozenset[str]
    unit: str
    written: str
    words: set[str]


def _passages(text: str, held: Evidence) -> Iterator[str]:
    """A runbook's number stands in the answer where it stands in the runbook."""
    runbooks = _measures(line for one in held.returned if not one.collection for line in one.texts)
    documents = scalars([[*one.texts, *one.documents] for one in held.returned if one.collection])
    known = [*runbooks, *_measures([*documents, held.question])]
    for said in _measures(re.split(r",\s|\band\b", text)):
        own = [one for one in known if one.readings & said.readings and one.unit in ("", said.unit)]
        best = max((len(one.words & said.words) for one in own), default=-1)
        for other in runbooks:
            if said.unit != other.unit or not said.unit or other.readings & said.readings:
                continue
            if best < 0 or len(other.words & said.words) >= max(2, best + 1):
                yield f"the answer says {said.written}, and the runbook {other.written}"


def _measures(texts: Iterable[str]) -> list[_Measure]:
    found = []
    for part in (part for text in texts for part in re.split(r"\n|(?<=[.!?])\s", text)):
        # The words that carry meaning, without their endings.
        words = {word[:6] for word in re.findall(r"[a-z]{4,}", part.lower())}
        for one in figures(part):
            if one.kind == "number":
                unit = re.match(r"\s*([A-Za-z%]+)", part[one.end :])
                name, shown = (unit[1].lower().removesuffix("s"), unit[0]) if unit else ("", "")
                found.append(_Measure(one.readings, name, one.written + shown, words))
    return found


def _averages(text: str, held: Evidence) -> Iterator[str]:
    """Why a word such as "average" in the text is wrong, where no call computed one.

    A small model that cannot have an average takes a sum, and calls it an average.
    """
    found = "\n".join(line for one in held.returned if not one.collection for line in one.texts)
    if held.averaged or AVERAGE.search(found):
        return
    for sentence in re.split(r"[.;\n](?=\s|$)", text):
        word = AVERAGE.search(sentence)
        if word and not NEGATED.search(sentence):
            yield f'the answer says "{word.group()}", and no call computed one'
