"""What an evaluation came to, in percent; and several evaluations in one table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from workshop.core.errors import SettingsError
from workshop.core.table import Table
from workshop.evaluate import CALLING, HALVES, KINDS
from workshop.evaluate.asking import Outcome
from workshop.evaluate.questions import Published

SCHEMA = 1
NAME = "report.json"


@dataclass
class Evaluation:
    """One evaluation.

    Args:
        model: Its name.
        server: ``llama-stack`` or ``ogx``, with its version.
        target: Where it ran.
        label: The user's word for it.
        started: ISO 8601, UTC.
        questions: A digest of the questions' file.
        agent: A digest of all that the agent is told: its instructions and tools.
        asked: The names of the questions that are to be asked, in order.
        outcomes: Of those that were asked so far.
    """

    model: str
    server: str
    target: str
    label: str
    started: str
    questions: str
    agent: str
    asked: list[str]
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all were asked."""
        return {outcome.question for outcome in self.outcomes} == set(self.asked)

    @property
    def score(self) -> float:
        """Percent of all points."""
        return percent(outcome.points for outcome in self.outcomes)

    @property
    def calls(self) -> float:
        """Percent of the points for tool calls, over the questions that are answered by them."""
        return percent(outcome.points for outcome in self.outcomes if outcome.kind in CALLING)

    @property
    def right(self) -> float:
        """Percent of right answers."""
        return percent(float(outcome.right) for outcome in self.outcomes)

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
            "tool_calls": self.calls,
            "right_answers": self.right,
            "agreement": agreement(self.outcomes),
            **asdict(self),
        }


@dataclass(frozen=True)
class Row:
    """A line of an evaluation's table; the figures are percentages, and seconds a question."""

    kind: str
    questions: int
    tool_calls: str
    right_answers: str
    grounded: str
    proof_agrees: str
    seconds: str


@dataclass(frozen=True)
class Compared:
    """A line of the table of several evaluations."""

    model: str
    server: str
    label: str
    questions: str
    tool_calls: str
    of_tuning: str
    of_held_out: str
    right_answers: str
    proof_agrees: str
    seconds: str


def read(path: Path) -> Evaluation:
    """An evaluation from its folder.

    Raises:
        SettingsError: There is none, or it is damaged or of another version.
    """
    file = path / NAME
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}, and {SCHEMA} is read")
        outcomes = [Outcome(**outcome) for outcome in content["outcomes"]]
        names = {known.name for known in fields(Evaluation)} - {"outcomes"}
        return Evaluation(**{name: content[name] for name in names}, outcomes=outcomes)
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
    return round(100 * sum(found) / len(found), 1) if found else 0.0


def by_kind(evaluation: Evaluation) -> Table[Row]:
    """A row for each kind and each half, and one for all."""
    rows: Table[Row] = Table()
    groups: list[tuple[str, list[Outcome]]] = [
        (kind, [o for o in evaluation.outcomes if o.kind == kind]) for kind in KINDS
    ]
    groups += [(half, [o for o in evaluation.outcomes if o.half == half]) for half in HALVES]
    groups.append(("all", evaluation.outcomes))
    for name, outcomes in groups:
        if outcomes:
            rows.append(
                Row(
                    name,
                    len(outcomes),
                    _calls(outcomes),
                    _percent(float(outcome.right) for outcome in outcomes),
                    _percent(float(bool(one.grounded)) for one in judged(outcomes)),
                    _agrees(outcomes),
                    _seconds(outcomes),
                )
            )
    return rows


def judged(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes whose proof was kept."""
    return [outcome for outcome in outcomes if outcome.grounded is not None]


def agreement(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How the right answers and the proof's verdicts meet: how many of each of the four kinds."""
    found = {
        f"{right} and {grounded}": 0
        for right in ("right", "wrong")
        for grounded in ("grounded", "refused")
    }
    for one in judged(outcomes):
        right = "right" if one.right else "wrong"
        found[f"{right} and {'grounded' if one.grounded else 'refused'}"] += 1
    return found


def compare(evaluations: Sequence[Evaluation], published: Sequence[Published]) -> Table[Compared]:
    """A row for each evaluation, and below them the figures of others."""
    rows: Table[Compared] = Table()
    for evaluation in evaluations:
        outcomes = evaluation.outcomes
        tuning, held_out = (_calls([o for o in outcomes if o.half == half]) for half in HALVES)
        rows.append(
            Compared(
                evaluation.model,
                evaluation.server,
                evaluation.label or "-",
                str(len(outcomes)) + ("" if evaluation.complete else " (not all)"),
                _calls(outcomes),
                tuning,
                held_out,
                _percent(float(outcome.right) for outcome in outcomes),
                _agrees(outcomes),
                _seconds(outcomes),
            )
        )
    for figure in published:
        shown = f"{figure.percent:g} %"
        rest = ["-"] * 5
        rows.append(Compared(figure.model, "-", "published", "others", shown, *rest))
    return rows


def newest(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Of each model, server and label the newest complete one, or else the newest."""
    found: dict[tuple[str, str, str], Evaluation] = {}
    for one in sorted(evaluations, key=lambda e: (e.complete, e.started)):
        found[one.model, one.server, one.label] = one
    return sorted(found.values(), key=lambda e: (e.model, e.server, e.started))


def markdown(rows: Sequence[Any]) -> str:
    """A table of records as Markdown, to be put into a page of one's own."""
    if not rows:
        return ""
    names = [each.name for each in fields(rows[0])]
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |"]
    lines.append("|" + "---|" * len(names))
    for row in rows:
        values: Mapping[str, Any] = vars(row)
        lines.append("| " + " | ".join(str(values[name]) for name in names) + " |")
    return "\n".join(lines)


def _calls(outcomes: Sequence[Outcome]) -> str:
    return _percent(outcome.points for outcome in outcomes if outcome.kind in CALLING)


def _agrees(outcomes: Sequence[Outcome]) -> str:
    return _percent(float(one.right == one.grounded) for one in judged(outcomes))


def _percent(values: Iterable[float]) -> str:
    found = list(values)
    return f"{percent(found):g} %" if found else "-"


def _seconds(outcomes: Sequence[Outcome]) -> str:
    return f"{sum(o.seconds for o in outcomes) / len(outcomes):.1f}" if outcomes else "-"
