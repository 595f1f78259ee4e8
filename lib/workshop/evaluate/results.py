"""What an evaluation came to, in percent; several in one table; and both as a page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import fmean
from typing import Any

from workshop.core.errors import SettingsError
from workshop.core.table import Table
from workshop.evaluate import CALLING, HALVES, KINDS
from workshop.report.page import template

SCHEMA = 1
NAME, PAGE = "report.json", "index.html"


@dataclass(frozen=True)
class Outcome:
    """What one question came to."""

    question: str  # Its short name; ``asked`` is its text.
    kind: str
    half: str
    asked: str
    expected: list[str]  # The first of the right forms, a call a line; empty when no call is right.
    truth: list[str]  # What the answer must hold.
    points: float  # For the tool calls, 0 to 1; of unanswerable and write questions, the outcome.
    reason: str
    right: bool  # Whether the answer is grounded and true, or rightly refuses; ``why`` says why.
    why: str
    seconds: float  # From asking to the last word.
    text: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)  # Of name, arguments, ok, result.
    unanswered: str = ""  # Why there was no answer at all.
    # Whether the agent's proof, which does not know the truth, calls it grounded, and why; None in
    # a report from before this was kept.
    grounded: bool | None = None
    proof: str = ""
    # The tokens that the model had to read anew, and wrote; None where its server does not count
    # them, and in a report from before this was kept.
    read: int | None = None
    written: int | None = None


@dataclass
class Evaluation:
    """One evaluation."""

    model: str
    server: str  # ``llama-stack`` or ``ogx``, with its version.
    target: str
    label: str  # The user's word for it.
    started: str  # ISO 8601, UTC.
    questions: str  # A digest of the questions' file.
    agent: str  # A digest of all that the agent is told: its instructions and tools.
    asked: list[str]  # The names of the questions to ask, in order.
    outcomes: list[Outcome] = field(default_factory=list)  # Of those asked so far.

    @property
    def complete(self) -> bool:
        """Whether all were asked."""
        return {outcome.question for outcome in self.outcomes} == set(self.asked)

    @property
    def score(self) -> float:
        """Percent of all points."""
        return percent(outcome.points for outcome in self.outcomes)

    def same_as(self, other: Evaluation) -> list[str]:
        """What differs between two evaluations that should be one."""
        names = ("model", "server", "target", "questions", "agent")
        return [name for name in names if getattr(self, name) != getattr(other, name)]

    def as_dict(self) -> dict[str, Any]:
        """The content of report.json."""
        return {
            "schema": SCHEMA,
            "complete": self.complete,
            "score": self.score,
            "tool_calls": percent(o.points for o in self.outcomes if o.kind in CALLING),
            "right_answers": percent(outcome.right for outcome in self.outcomes),
            "agreement": agreement(self.outcomes),
            **asdict(self),
        }


@dataclass(frozen=True)
class Row:
    """A line of an evaluation's table: percentages, and per question the mean of the rest."""

    kind: str
    questions: int
    tool_calls: str
    right_answers: str
    grounded: str
    proof_agrees: str
    seconds: str
    tokens_read: str
    written: str


@dataclass(frozen=True)
class Compared:
    """A line of the table of several evaluations; the figures are those of a ``Row``."""

    model: str
    server: str
    label: str
    questions: str
    tool_calls: str
    of_tuning: str = "-"
    of_held_out: str = "-"
    right_answers: str = "-"
    proof_agrees: str = "-"
    seconds: str = "-"


def read(path: Path) -> Evaluation:
    """The evaluation in a folder; ``SettingsError`` where it is none, or of another version."""
    file = path / NAME
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}, and {SCHEMA} is read")
        kept = {known.name: content[known.name] for known in fields(Evaluation)}
        return Evaluation(**kept | {"outcomes": [Outcome(**one) for one in kept["outcomes"]]})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            "This is not the folder of an evaluation.",
            where=str(file),
            state=f"{type(error).__name__}: {error}",
            hint="name a folder of .workshop/evaluations, or run: workshop evaluate",
        ) from error


def percent(values: Iterable[float]) -> float:
    """The mean in percent, one decimal; 0 of nothing."""
    found = list(values)
    return round(100 * fmean(found), 1) if found else 0.0


def by_kind(evaluation: Evaluation) -> Table[Row]:
    """A row for each kind and each half, and one for all."""
    rows = (_row(name, evaluation.outcomes) for name in (*KINDS, *HALVES, "all"))
    return Table(row for row in rows if row.questions)


def compare(evaluations: Sequence[Evaluation], published: Mapping[str, float]) -> Table[Compared]:
    """A row for each evaluation, and below them the figures of others."""
    rows: Table[Compared] = Table()
    for one in evaluations:
        whole, tuning, held_out = (_row(name, one.outcomes) for name in ("all", *HALVES))
        rows.append(
            Compared(
                one.model,
                one.server,
                one.label or "-",
                str(whole.questions) + ("" if one.complete else " (not all)"),
                whole.tool_calls,
                tuning.tool_calls,
                held_out.tool_calls,
                whole.right_answers,
                whole.proof_agrees,
                whole.seconds,
            )
        )
    rows += [Compared(m, "-", "published", "others", f"{p:g} %") for m, p in published.items()]
    return rows


def _row(name: str, outcomes: Sequence[Outcome]) -> Row:
    """What the outcomes of this kind or half came to, or ``all``."""
    chosen = [o for o in outcomes if name in (o.kind, o.half, "all")]
    judged = [o for o in chosen if o.grounded is not None]
    return Row(
        name,
        len(chosen),
        _shown(o.points for o in chosen if o.kind in CALLING),
        _shown(o.right for o in chosen),
        _shown(bool(o.grounded) for o in judged),
        _shown(o.right == o.grounded for o in judged),
        *(_mean((getattr(o, name) for o in chosen), digits) for name, digits in MEANS),
    )


MEANS = (("seconds", 1), ("read", 0), ("written", 0))


def _mean(values: Iterable[float | None], digits: int) -> str:
    found = [value for value in values if value is not None]
    return f"{fmean(found):.{digits}f}" if found else "-"


def _shown(values: Iterable[float]) -> str:
    found = list(values)
    return f"{percent(found):g} %" if found else "-"


def agreement(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many answers are right or wrong, and by the proof grounded or refused."""
    found = Counter((o.right, o.grounded) for o in outcomes)
    return {
        f"{answer} and {verdict}": found[right, grounded]
        for right, answer in ((True, "right"), (False, "wrong"))
        for grounded, verdict in ((True, "grounded"), (False, "refused"))
    }


def newest(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Of each model, server and label the newest complete one, or else the newest."""
    found: dict[tuple[str, str, str], Evaluation] = {}
    for one in sorted(evaluations, key=lambda e: (e.complete, e.started)):
        found[one.model, one.server, one.label] = one
    return sorted(found.values(), key=lambda e: (e.model, e.server, e.started))


def markdown(rows: Sequence[Compared]) -> str:
    """A table as Markdown, to be put into a page of one's own."""
    names = [each.name.replace("_", " ") for each in fields(Compared)]
    cells = [names, ["---"] * len(names), *(list(vars(row).values()) for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def page(compared: Sequence[Compared], evaluation: Evaluation | None = None) -> str:
    """The page of one evaluation, or of several, as HTML that needs nothing else."""
    return template("evaluation.html.j2").render(
        title=f"{evaluation.model} behind {evaluation.server}" if evaluation else "Evaluations",
        evaluation=evaluation,
        kinds=by_kind(evaluation) if evaluation else (),
        agreement=agreement(evaluation.outcomes) if evaluation else {},
        compared=compared,
        shown=lambda call: f"{call['name']} {json.dumps(call['arguments'], ensure_ascii=False)}",
    )
