"""What an answer says beyond the results of its calls: values that none of them holds.

Each value in the answer must stand in a result or in the question, or be a simple count of what was
returned. Values are all that the data knows; and what looks like a value though nothing knows it:
a number, a date, an id, a command, a name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from workshop.agent.answer import ToolCall
from workshop.agent.proof.given import Held
from workshop.agent.proof.values import TYPED, contains, figures, find_all, plain, spelled
from workshop.agent.proof.vocabulary import Field, Vocabulary, is_plain, kind

NEGATED = re.compile(r"\b(?:not|no|never|nor|neither|without|nicht|kein\w*)\b|n't\b", re.IGNORECASE)
BEFORE_ARTICLE = re.compile(r"\s+(?:the|an?|your|our|my|its?|this|that|these|those|for|to)\b")
"""A word before one of these is a verb: "search the runbooks", "open a console"."""


NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}\b(?!['-])")
"""A capital within a sentence."""

QUOTED = re.compile(r"[\"“„]((?:[^\s\"“”„]+ ){2,}[^\s\"“”„]+)[\"“”]|`+([^`\n]+)`+")
LAST_LINE = "End of the runbook"
"""What both servers are told to write below a runbook that was found."""

TOKEN = re.compile(r"#?[\w][\w.:=/-]*\w|--\w[\w=.-]*")
LISTED = re.compile(r"[\w-]+(?:, [\w-]+)+,? (?:and|und|or) [\w-]+")

AVERAGE = re.compile(r"\baverages?\b|\bthe mean\b|\bdurchschnitt\w*|\bim mittel\b", re.IGNORECASE)
COMPUTES = re.compile(r"\$(?:avg|divide|median|percentile)\b")

UMLAUT = re.compile(r"[äöüß]|\b(?:der|die|das|und|ist|wurde)\b")
"""German: its nouns have capitals, so that a capital says nothing."""


def unheld(text: str, held: Held, known: Vocabulary) -> str:
    """A value in the text that nothing holds; "" when there is none.

    Args:
        text: The answer.
        held: What it may say.
        known: What the data knows.
    """
    text = text.translate(TYPED)
    return next((one for reader in READERS for one in reader(text, held, known) if one), "")


def uncomputed(text: str, held: Held, calls: Sequence[ToolCall]) -> str:
    """A word such as "average" in the text, where no call computed one; "" when there is none.

    A small model that cannot have an average takes a sum, and calls it an average.
    """
    if any(COMPUTES.search(json.dumps(call.arguments, default=str)) for call in calls):
        return ""
    read = "\n".join(line for one in held.given if not one.collection for line in one.texts)
    for sentence in re.split(r"[.;\n](?=\s|$)", text):
        word = AVERAGE.search(sentence)
        if word and not NEGATED.search(sentence) and not AVERAGE.search(read):
            return word.group()
    return ""


def _figures(text: str, held: Held, known: Vocabulary) -> Iterator[str]:
    listed = {one for one in known.ids if contains(text, one) and not contains(held.question, one)}
    numbers = held.numbers | held.counts | {str(len(listed))}
    for one in (*figures(text), *spelled(text)):
        holds = numbers if one.kind == "number" else held.dates
        if not one.readings & holds:
            yield one.written


def _known(text: str, held: Held, known: Vocabulary) -> Iterator[str]:
    # The longest first: the words of a title are no values beside it.
    for word, places in sorted(known.words.items(), key=lambda item: -len(item[0])):
        # "Go" is a language, and "go" is not.
        flags = 0 if len(word) <= 2 else re.IGNORECASE
        for match in find_all(text, word, flags=flags):
            if not (_may_say_plain if is_plain(word) else _may_say)(word, places, match, held):
                yield match.group()
            text = text[: match.start()] + " " * len(match.group()) + text[match.end() :]
    for fact in known.facts:
        if not is_plain(fact) and kind(fact) == "word" and not held.has(fact):
            yield from (match.group() for match in find_all(text, fact))


def _may_say(word: str, _places: set[Field], _match: re.Match[str], held: Held) -> bool:
    return held.has(word)


def _may_say_plain(word: str, places: set[Field], match: re.Match[str], held: Held) -> bool:
    """Whether a word such as "open" may be said: it also stands where nothing is said of the data.

    It counts where a call looked into a collection that has such values. Where the results have
    the field, it must be one of the field's, though it stands in the question.
    """
    before, after = match.string[: match.start()], match.string[match.end() :]
    if BEFORE_ARTICLE.match(after) or NEGATED.search(_words_before(before)):
        return True
    fields = {name for _, name in places}
    shown = [held.of_field(name) for name in fields if any(name in one.names for one in held.given)]
    if shown:
        return any(word in values for values in shown) or not _in_one(places, held)
    return held.has(word) or not _in_one(places, held)


def _in_one(places: set[Field], held: Held) -> bool:
    """Whether a call looked into one of these collections."""
    return any(one.collection == collection for one in held.given for collection, _ in places)


def _words_before(text: str) -> str:
    return " ".join(re.split(r"[.;,:\n]", text)[-1].split()[-4:])


def _quoted(text: str, held: Held, _: Vocabulary) -> Iterator[str]:
    """Titles, sentences and commands, in quotation marks, that nothing knows."""
    for match in QUOTED.finditer(text):
        said = next(group for group in match.groups() if group)
        if held.says(plain(said)):
            continue
        # Several lines of a runbook, perhaps without their numbers and with the tool's last line.
        for sentence in re.split(r"(?<=[.!?])\s+", said):
            words = plain(sentence).strip(".,:; ")
            if words and words != LAST_LINE and not held.says(words):
                yield words


def _joined(text: str, held: Held, known: Vocabulary) -> Iterator[str]:
    """A value with the last part of another's name: a service, and "team"."""
    for ending in known.endings:
        for match in re.finditer(rf"\b([a-z]+(?:-[a-z]+)*) {re.escape(ending)}\b", text):
            if match.group(1) in known.words and not held.has(match.group().replace(" ", "-")):
                yield match.group()


def _ids(text: str, held: Held, known: Vocabulary) -> Iterator[str]:
    """What has the form of an id, a channel or an option, and that nothing knows."""
    spans = [(one.start, one.end) for one in figures(text)]
    for match in TOKEN.finditer(text):
        token = match.group().rstrip(".:/=-")
        inside = any(start <= match.start() and match.end() <= end for start, end in spans)
        if not inside and _like_a_value(token, known.endings) and not held.says(token):
            yield token


def _names(text: str, held: Held, _: Vocabulary) -> Iterator[str]:
    """Names within a sentence that nothing knows."""
    spans = [(one.start, one.end) for one in figures(text)]
    for match in NAME.finditer(text) if not UMLAUT.search(text) else ():
        inside = any(start <= match.start() < end for start, end in spans)
        if not inside and not held.says(match.group()):
            yield match.group()


def _listed(text: str, held: Held, _: Vocabulary) -> Iterator[str]:
    """In "alerts, incidents and users" the one that nothing knows."""
    for match in LISTED.finditer(text):
        items = re.split(r",? (?:and|und|or) |, ", match.group())
        if sum(held.has(item) for item in items) >= 2:
            yield from (item for item in items if not held.has(item))


def _like_a_value(token: str, endings: set[str]) -> bool:
    if token.startswith(("#", "--")) or "=" in token:
        return True
    if re.fullmatch(r"\d[\d.,:/-]*[A-Za-z%°]*", token):
        return re.fullmatch(r"\d+(?:\.\d+){3}", token) is not None
    if re.search(r"\d", token) and re.search(r"[A-Za-z]", token):
        return True
    return (
        re.fullmatch(r"[a-z]+(-[a-z]+)+", token) is not None and token.rsplit("-", 1)[1] in endings
    )


READERS = (_figures, _known, _quoted, _joined, _ids, _names, _listed)
