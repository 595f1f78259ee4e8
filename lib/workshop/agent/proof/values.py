"""Values in a text: words, numbers, dates and times, however they are written.

English and German forms are read: ``1,234.5`` and ``1.234,5``, ``March 15, 2026`` and
``15. März 2026``. Where a form has two readings, as ``1.234`` has, both count.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

WORDS = (
    *("no|none|zero|null|kein|keine", "one", "two|zwei", "three|drei", "four|vier", "five|fünf"),
    *("six|sechs", "seven|sieben", "eight|acht", "nine|neun", "ten|zehn", "eleven|elf"),
    *("twelve|zwölf", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen", "twenty"),
)
"""Numbers as people write them, for answers that do so."""

TYPED = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-") | dict.fromkeys("\u2018\u2019", "'")
)
"""What models write with typographic care, and data does not have."""

MONTHS = (
    *("jan(?:uary|uar)?", "feb(?:ruary|ruar)?", "mar(?:ch)?|märz", "apr(?:il)?", "(?-i:May)|mai"),
    *("june?|juni", "july?|juli", "aug(?:ust)?", "sep(?:t|tember)?", "o[ck]t(?:ober)?"),
    *("nov(?:ember)?", "de[cz](?:ember)?",),
)  # fmt: skip
MONTH = "|".join(f"(?P<m{place}>{name})" for place, name in enumerate(MONTHS, 1))
DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?"
YEAR = r"(?P<year>\d{4})"
CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::\d\d(?:\.\d+)?)?"
    r"(?:\s?(?P<half>[ap])(?:m\b|\.m\.)|\s?(?:Z|UTC|Uhr)\b)?"
)
JOINT = r"(?:T|,?\s+(?:at|um|on|am)\s+|,?\s+)"

DATES = tuple(
    re.compile(rf"(?<![\w-])(?:{date})(?:{JOINT}{CLOCK})?(?![\w-])", re.IGNORECASE)
    for date in (
        rf"{YEAR}-(?P<month>\d\d)(?:-(?P<day>\d\d))?",
        rf"{YEAR}/(?P<month>\d\d)/(?P<day>\d\d)",
        r"(?P<day>\d{1,2})(?P<mark>[./])\s?(?P<month>\d{1,2})(?P=mark)\s?(?P<year>\d{4})",
        rf"{DAY}\s(?:of\s)?(?:{MONTH})\b\.?(?:,?\s{YEAR})?",
        rf"(?:{MONTH})\b\.?\s{DAY}(?!:)(?:,?\s{YEAR})?",
        rf"(?:{MONTH})\b\.?\s{YEAR}",
    )
)
TIME = re.compile(
    rf"(?<![\w:-]){CLOCK}(?![\w:])|(?<![\w:])(?P<only>\d{{1,2}})\s?(?P<noon>[ap])(?:m\b|\.m\.)",
    re.IGNORECASE,
)
NUMBER = re.compile(
    r"(?<![\w#-])(?<!\d[.,:/])-?\d+(?:[.,\u00a0\u202f' ]\d{3}(?!\d))*(?:[.,]\d+)?"
    r"(?!\d|[.,:/]\d|-\d|(?:st|nd|rd|th)\b)"
)
LIST_MARK = re.compile(
    rf"^[ \t]*(?:[-*]\s+)?(?:\*\*)?(?:step\s+)?\d{{1,2}}[.):](?=\s|\*)(?!\s(?:{MONTH})\b)"
    r"|\bsteps?\s+\d+(?:(?:\s*(?:,|-|and|to|or)\s*)+\d+)*\b"
    # A list within a paragraph: each number begins a sentence.
    r"|(?<=[.!?]\s)\d{1,2}\.(?=\s(?-i:[A-Z]))",
    re.MULTILINE | re.IGNORECASE,
)
"""The number of a list's item, or of a step, is no value."""


@dataclass(frozen=True)
class Figure:
    """A number, a date or a time in a text."""

    kind: str  # ``number`` or ``date``; a time of day is a ``date`` too.
    written: str  # As it stands there, from ``start`` to ``end``.
    # What it may mean: ``2026-03-15T21:10``, ``2026-03-15``, ``03-15``, ``2026-03``, ``T21:10``, or
    # a number such as ``70.5``.
    readings: frozenset[str]
    start: int
    end: int

    @property
    def wider(self) -> set[str]:
        """All that somebody may say of a date or a time: its day, its month, its time of day."""
        found: set[str] = set()
        for reading in self.readings:
            date, _, clock = reading.partition("T")
            days = {date, date[5:]} if re.match(r"\d{4}-\d\d-", date) else {date}
            found |= (days | {date[:7]}) - {""}
            found |= {f"{day}T{clock}" for day in {*days, ""} if clock}
        return found


def contains(text: str, value: str, *, spelled_from: int = 0) -> bool:
    """Whether the text holds the value as a word or number of its own.

    A word may be followed by a hyphen ("a critical-severity incident"), a name that has a hyphen
    itself may not ("order-queue" is not in "order-queue-old"). Figures may be written in any form
    that ``figures`` reads, and numbers from ``spelled_from`` on in letters.

    Example:
        >>> contains("There are 11 of them.", "11"), contains("In 2011 there were 3.", "11")
        (True, False)
        >>> contains("There are nine of them.", "9")
        True
        >>> contains("Opened on March 15, 2026 at 9:10 pm.", "2026-03-15T21:10:00Z")
        True
    """
    text, value = plain(text.translate(TYPED)), plain(value.translate(TYPED))
    if re.fullmatch(r"-?\d+(?:\.\d+)?", value):
        wanted = number(value)
        if any(wanted in one.readings for one in figures(text) if one.kind == "number"):
            return True
        place = int(value) if re.fullmatch(r"\d+", value) else -1
        if not spelled_from <= place < len(WORDS):
            return False
        letters = rf"(?<!\w)(?<!\w-)(?:{WORDS[place]})(?!\w|-\w)"
        return re.search(letters, text, re.IGNORECASE) is not None
    if any(find_all(text, value)):
        return True
    moment = [one for one in figures(value) if one.kind == "date" and one.written == value]
    dates = {wide for one in moment for wide in one.wider}
    return bool(dates) and any(one.readings & dates for one in figures(text) if one.kind == "date")


def find_all(text: str, value: str) -> Iterator[re.Match[str]]:
    """Where the value stands in the text as a word, or words, of its own."""
    # Most values are not there, and this is quicker than to compile a pattern for each.
    if not value.split() or value.split()[0].lower() not in text.lower():
        return
    # "Go" is a language, and "go" is not.
    flags = 0 if len(value) <= 2 else re.IGNORECASE
    name = r"(?!-\w)" if "-" in value or value.startswith("#") else ""
    word = re.escape(value).replace(r"\ ", r"\s+")
    yield from re.finditer(rf"(?<!\w)(?<!\w-){word}(?!\w|[.,]\d){name}", text, flags)


@lru_cache(maxsize=5000)
def figures(text: str) -> tuple[Figure, ...]:
    """The numbers, dates and times of a text, in order; not the numbers of a list's items."""
    found: list[Figure] = []
    text = LIST_MARK.sub(lambda mark: " " * len(mark.group()), text.translate(TYPED))
    for pattern in (*DATES, TIME):
        for match in pattern.finditer(text):
            readings = frozenset(_moments(match.groupdict()))
            if readings:
                found.append(Figure("date", match.group(), readings, *match.span()))
        for one in found:
            text = text[: one.start] + " " * (one.end - one.start) + text[one.end :]
    for match in NUMBER.finditer(text):
        found.append(Figure("number", match.group(), _numbers(match.group()), *match.span()))
    return tuple(sorted(found, key=lambda one: one.start))


def spelled(text: str) -> Iterator[Figure]:
    """The numbers that stand in the text in letters, from two on."""
    for value, words in enumerate(WORDS[2:], 2):
        for match in re.finditer(rf"(?<![\w-])(?:{words})(?![\w-])", text, re.IGNORECASE):
            yield Figure("number", match.group(), frozenset({str(value)}), *match.span())


def scalars(value: Any) -> list[str]:
    """The values worth quoting: no nulls, no flags, no empty texts."""
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return list(dict.fromkeys(v for inner in value for v in scalars(inner)))
    if value is None or isinstance(value, bool) or str(value).strip() == "":
        return []
    if isinstance(value, float) and value.is_integer():
        return [str(int(value))]
    return [str(value)]


def plain(text: str) -> str:
    """The text with one space between words."""
    return " ".join(text.split())


def number(written: str) -> str:
    """A number as ``figures`` gives it: ``97``, ``70.5``."""
    return f"{float(written):.10g}"


def _numbers(written: str) -> frozenset[str]:
    """All that the figures may mean: in ``1.234`` the point may part thousands or decimals."""
    bare = re.sub(r"[\u00a0\u202f' ]", "", written)
    readings = set()
    for thousands, decimal in ((",", "."), (".", ",")):
        grouped = rf"-?[1-9]\d{{0,2}}(?:\{thousands}\d{{3}})+(?:\{decimal}\d+)?"
        # Nobody writes 11,000 for 11.
        simple = rf"-?(?:0\{decimal}\d+|\d+(?:\{decimal}(?!\d\d0$)\d+)?)"
        if re.fullmatch(f"{grouped}|{simple}", bare):
            readings.add(number(bare.replace(thousands, "").replace(decimal, ".")))
    return frozenset(readings)


def _moments(part: dict[str, str | None]) -> Iterator[str]:
    """The readings of a date, of a date with a time, or of a time alone."""
    hour, minute = part.get("hour") or part.get("only"), part.get("minute") or "00"
    half = part.get("half") or part.get("noon")
    clock = ""
    if hour:
        at = int(hour) % 12 + {"a": 0, "p": 12}[half.lower()] if half else int(hour)
        if at > 24:
            return
        clock = f"T{at:02}:{minute}"
    named = next((str(place) for place in range(1, 13) if part.get(f"m{place}")), "")
    day, month, year = part.get("day") or "", named or part.get("month"), part.get("year")
    if not month:
        if clock:
            yield clock
        return
    # 3/15/2026 in America, 15/3/2026 elsewhere.
    for which, on in {(month, day), (day, month)} if part.get("mark") == "/" else {(month, day)}:
        if 1 <= int(which) <= 12 and (not on or 1 <= int(on) <= 31):
            date = f"{int(which):02}-{int(on):02}" if on else f"{int(which):02}"
            yield (f"{year}-{date}" if year else date) + clock
