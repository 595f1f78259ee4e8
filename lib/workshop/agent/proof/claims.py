"""What an answer says beyond the results of its calls: values that none of them holds.

Each value in the answer must stand in a result or in the question, or be a simple count of what was
returned. Values are all that the data knows; and what looks like a value though nothing knows it:
a number, a date, an id, a command, a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workshop.agent.proof.evidence import Evidence, Field, is_plain, kind
from workshop.agent.proof.values import contains, figures, find_all, plain, spelled

NEGATED = re.compile(r"\b(?:not|no|never|nor|neither|without|nicht|kein\w*)\b|n't\b", re.IGNORECASE)
BEFORE_ARTICLE = re.compile(r"\s+(?:the|an?|your|our|my|its?|this|that|these|those|for|to)\b")
"""A word before one of these is a verb: "search the runbooks", "open a console"."""

NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}\b(?!['-])")
"""A capital within a sentence."""

QUOTED = re.compile(r"[\"“„]((?:[^\s\"“”„]+ ){2,}[^\s\"“”„]+)[\"“”]|`+([^`\n]+)`+")
FOOTER = "End of the runbook"
"""What both servers write below a runbook that was found: ``footer_template`` in their settings."""

TOKEN = re.compile(r"#?[\w][\w.:=/-]*\w|--\w[\w=.-]*")
LISTED = re.compile(r"[\w-]+(?:, [\w-]+)+,? (?:and|und|or) [\w-]+")
AVERAGE = re.compile(r"\baverages?\b|\bthe mean\b|\bdurchschnitt\w*|\bim mittel\b", re.IGNORECASE)
GERMAN = re.compile(r"[äöüß]|\b(?:der|die|das|und|ist|wurde)\b")
"""Its nouns have capitals, so that a capital says nothing."""


def unsupported(text: str, held: Evidence) -> Iterator[str]:
    """Why the text says more than the evidence: each value in it that nothing holds."""
    for reader in READERS:
        for value in reader(text, held):
            yield f"the answer says {value}, which is in no result"


def averages(text: str, held: Evidence) -> Iterator[str]:
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


def _figures(text: str, held: Evidence) -> Iterator[str]:
    ids = held.known.ids
    listed = [one for one in ids if contains(text, one) and not contains(held.question, one)]
    numbers = held.numbers | held.counts | {str(len(listed))}
    for one in (*figures(text), *spelled(text)):
        if not one.readings & (numbers if one.kind == "number" else held.dates):
            yield one.written


def _known(text: str, held: Evidence) -> Iterator[str]:
    # The longest first: the words of a title are no values beside it.
    for word, places in sorted(held.known.words.items(), key=lambda item: -len(item[0])):
        # "Go" is a language, and "go" is not.
        flags = 0 if len(word) <= 2 else re.IGNORECASE
        for match in find_all(text, word, flags=flags):
            if not (_may_say(word, places, match, held) if is_plain(word) else held.has(word)):
                yield match.group()
            text = text[: match.start()] + " " * len(match.group()) + text[match.end() :]
    for fact in held.known.facts:
        if not is_plain(fact) and kind(fact) == "word" and not held.has(fact):
            yield from (match.group() for match in find_all(text, fact))


def _may_say(word: str, places: set[Field], match: re.Match[str], held: Evidence) -> bool:
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


def _compounds(text: str, held: Evidence) -> Iterator[str]:
    """A value with the last part of another's name: a service, and "team"."""
    for ending in held.known.endings:
        for match in re.finditer(rf"\b([a-z]+(?:-[a-z]+)*) {re.escape(ending)}\b", text):
            if match[1] in held.known.words and not held.has(match.group().replace(" ", "-")):
                yield match.group()


def _ids(text: str, held: Evidence) -> Iterator[str]:
    """What has the form of an id, a channel or an option, and that nothing knows."""
    for found in _beside_figures(TOKEN, text):
        token = found.rstrip(".:/=-")
        if _like_a_value(token, held.known.endings) and not held.says(token):
            yield token


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


def _like_a_value(token: str, endings: set[str]) -> bool:
    if token.startswith(("#", "--")) or "=" in token:
        return True
    if re.fullmatch(r"\d[\d.,:/-]*[A-Za-z%°]*", token):
        return re.fullmatch(r"\d+(?:\.\d+){3}", token) is not None
    if re.search(r"\d", token) and re.search(r"[A-Za-z]", token):
        return True
    named = re.fullmatch(r"[a-z]+(?:-[a-z]+)*-([a-z]+)", token)
    return named is not None and named[1] in endings


READERS = (_figures, _known, _quoted, _compounds, _ids, _names, _listed)
