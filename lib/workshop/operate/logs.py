"""The logs of all parts in one table, and one question followed through them."""

import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from workshop.agent.agent import Agent
from workshop.agent.answer import Answer
from workshop.core.errors import AnswerNotGrounded, SettingsError, StepMissing
from workshop.core.progress import stages
from workshop.core.table import Table, shortened
from workshop.core.wait import NotYet, wait_for
from workshop.parts import llama_stack
from workshop.parts.catalog import ALL
from workshop.targets.base import Target

DEEP = 4000  # Lines that are looked at from a log's end: hours of a workshop.
SHOWN = 5  # Lines of one part in the table.
WIDTH = 160  # Characters of a line in the table: some parts log a whole request in one.

NOISE = re.compile(r"Prevented registration of|Sending ping|GET /v1/(version|health)|GET /health")
"""Lines of every session and every probe, which would hide all others."""

ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?")
STARTED = re.compile(r"--- started (\S+) ")  # What the local target writes at a log's top.

SINCE_START = re.compile(r"(\d+)\.(\d\d)\.(\d{3})\.(\d{3}) [A-Z] ")
"""How llama.cpp's server tells the time: minutes, seconds, milliseconds, microseconds."""

MONTH_DAY = re.compile(r"(?:DEBUG|INFO|WARNING|ERROR) (\d\d-\d\d \d\d:\d\d:\d\d)")
"""How vLLM does: without a year."""

ORDER = tuple(one.name for one in sorted(ALL, key=lambda one: one.order) if one.order)
"""The parts that a question passes."""


@dataclass(frozen=True)
class LogLine:
    """One line of a part's log; ``time`` is in UTC, "" where its program writes none."""

    part: str
    time: str
    text: str


@dataclass(frozen=True)
class Step:
    """A line that was written while a question was answered; ``mark`` if it holds the mark."""

    part: str
    mark: str
    text: str


@dataclass(frozen=True)
class Followed:
    """One question, by its mark, through the logs of all parts."""

    mark: str
    answer: Answer | None
    lines: Table[Step]

    def __repr__(self) -> str:
        if self.answer is None:
            return "Nothing was asked."
        return f"{self.mark}: {self.answer.question}\n{self.lines!r}"

    def _repr_html_(self) -> str:
        return self.lines._repr_html_()


def tail_logs(
    target: Target, *, minutes: float = 0, text: str = "", lines: int = SHOWN
) -> Table[LogLine]:
    """Show the newest log lines of every part, without credentials.

    At most so many ``lines`` of each part that hold ``text``, in small or capital letters. What is
    known to be older than so many ``minutes`` is left out; 0 is no limit. Raises ``SettingsError``
    for a limit below nothing.
    """
    if minutes < 0 or lines < 1:
        raise SettingsError(
            "These log lines cannot be shown.",
            state=f"minutes={minutes:g}, lines={lines}",
            hint="lines from 1, minutes from 0; minutes=0 means no limit",
        )
    oldest = datetime.now(UTC) - timedelta(minutes=minutes) if minutes else None
    found: Table[LogLine] = Table()
    for part in ALL.on(target.name):
        chosen: list[LogLine] = []
        bound: datetime | None = None
        for when, line in reversed(list(stamped(whole(log(target, part))))):
            # A line without a time is no younger than the one after it.
            bound = when or bound
            is_old = oldest and bound and bound < oldest
            if not is_old and text.lower() in line.lower() and _tells(line):
                time = when.strftime("%H:%M:%S") if when else ""
                chosen.append(LogLine(part, time, _short(line)))
        found.extend(reversed(chosen[:lines]))
    return found


def log(target: Target, part: str) -> list[str]:
    """A part's newest lines, oldest first; none where it has no log here."""
    with suppress(StepMissing):
        return list(target.logs(part, lines=DEEP))
    return []


def whole(lines: Iterable[str]) -> list[str]:
    """What belongs together in one line: programs break long messages, and indent what goes on.

    Example:
        >>> whole(["INFO asked", "     for a thing", "{", "INFO done"])
        ['INFO asked for a thing {', 'INFO done']
    """
    found: list[str] = []
    for line in lines:
        if found and (line[:1].isspace() or line.strip() in ("{", "}", "]")):
            found[-1] += " " + line.strip()
        else:
            found.append(line)
    return found


def stamped(lines: Iterable[str]) -> Iterator[tuple[datetime | None, str]]:
    """Each line with the time that its program wrote, in whatever way it does."""
    started = None
    for line in lines:
        when = _time(line, started)
        if STARTED.match(line):
            started = when
        yield when, line


def _time(line: str, started: datetime | None) -> datetime | None:
    # Further to the right it is a time that somebody talks about.
    head = line[:80]
    if found := ISO.search(head):
        with suppress(ValueError):
            when = datetime.fromisoformat(found[0])
            return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
        return None
    if started and (since := SINCE_START.match(head)):
        parts = ("minutes", "seconds", "milliseconds", "microseconds")
        return started + timedelta(**dict(zip(parts, map(int, since.groups()), strict=True)))
    if found := MONTH_DAY.search(head):
        now = datetime.now(UTC)
        when = datetime.strptime(f"{now.year}-{found[1]}+0000", "%Y-%m-%d %H:%M:%S%z")
        return when if when <= now + timedelta(days=1) else when.replace(year=now.year - 1)
    return None


def follow_question(target: Target, agent: Agent, question: str) -> Followed:
    """Ask one question, alone, and show what every part wrote to its log meanwhile.

    The question carries a mark, a random word. Llama Stack writes it as part of the request's URL,
    and the MCP server as the call's request id. The model and the database write no such thing:
    their lines are those that came while the question was answered. An empty question is not asked.

    Raises as ``Agent.ask``, and ``PartTooSlow`` where Llama Stack did not log the request.
    """
    if not question:
        return Followed("", None, Table())
    mark = f"q-{secrets.token_hex(4)}"
    before = {part: log(target, part) for part in ORDER}
    with stages("Followed") as stage:
        stage(f"asking as {mark}: {question}")
        try:
            answer = agent.ask(question, mark=mark)
        except AnswerNotGrounded:
            answer = agent.answers[-1]
        if not isinstance(answer, Answer):
            raise SettingsError(f"{question!r} was not asked.", state=answer.reason)

        def logged() -> object:
            lines = log(target, llama_stack.PART)
            return any(mark in line for line in lines) or NotYet("the mark is not there yet")

        what, hint = "Llama Stack to log the request", "workshop logs llama-stack"
        wait_for(what, logged, timeout=20, stage=stage, hint=hint)
    found = Table(
        Step(part, mark if mark in line else "", _short(line))
        for part in ORDER
        for line in whole(since(before[part], log(target, part)))
        if _tells(line)
    )
    return Followed(mark, answer, found)


def since(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """The lines of a log that came after an earlier look at it.

    Example:
        >>> since(["a", "b"], ["a", "b", "c"]), since(["a", "b"], ["b", "c"])
        (['c'], ['c'])
    """
    # A log that is longer than the look has lost its first lines meanwhile.
    for lost in range(len(before) + 1):
        kept = before[lost:]
        if list(after[: len(kept)]) == list(kept):
            return list(after[len(kept) :])
    return list(after)


def _tells(line: str) -> bool:
    return bool(line.strip()) and not NOISE.search(line)


def _short(line: str) -> str:
    return shortened(" ".join(line.split()), WIDTH)
