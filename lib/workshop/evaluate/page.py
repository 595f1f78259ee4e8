"""The page of an evaluation, and the page that compares several: files that need nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from workshop.core.table import Table
from workshop.evaluate import results
from workshop.evaluate.questions import Published
from workshop.evaluate.results import Compared, Evaluation
from workshop.report.page import template
from workshop.report.report import Folder

NAME = "index.html"


def write(folder: Folder, evaluation: Evaluation, published: Sequence[Published]) -> Path:
    """Write the page of one evaluation into its folder."""
    return folder.write(NAME, render(evaluation, published))


def render(evaluation: Evaluation, published: Sequence[Published]) -> str:
    """The page of one evaluation as HTML."""
    return template("evaluation.html.j2").render(
        title=f"{evaluation.model} behind {evaluation.server}",
        evaluation=evaluation,
        kinds=results.by_kind(evaluation),
        agreement=results.agreement(evaluation.outcomes),
        compared=results.compare([evaluation], published),
        shown=lambda call: f"{call['name']} {json.dumps(call['arguments'], ensure_ascii=False)}",
    )


def compared(rows: Table[Compared]) -> str:
    """The page of several evaluations as HTML."""
    return template("evaluation.html.j2").render(
        title="Evaluations", evaluation=None, kinds=(), compared=rows, agreement={}, shown=None
    )
