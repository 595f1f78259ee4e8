"""What the last run says when all parts are well: an answer may be wrong all the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workshop.diagnosis import Finding
from workshop.run.report import ASKING

HINTS = (
    (
        r"no tool was called",
        "the model answers from thin air: take one that calls tools more surely (MODEL, or "
        "MODEL_URL), and see that its server has the parser of its family; workshop evaluate "
        "measures it",
    ),
    (
        r"called a tool and then said nothing|still calling tools after",
        "its rounds were over before it answered: it called tools again and again; take another "
        "model, or fewer tools in 06_register_mcp_server",
    ),
    (
        r"not among its tools",
        "the model makes tools up: take one that calls tools more surely (MODEL, or MODEL_URL)",
    ),
    (
        r"not grounded|the answer lacks|found nothing with",
        "the tools work, and the model asked for something else or did not quote it: read the "
        "arguments in the report's table, ask more plainly, or take a larger model",
    ),
)
"""Words of a step's reason, and what mends it."""


def finding(runs: Path, target: str) -> Finding | None:
    """Why the last run's agent failed on this target, or None: it did not, or there was none.

    Args:
        runs: The folder of the runs.
        target: Whose runs count.
    """
    path = runs / "latest" / "report.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        steps = report["steps"] if report["target"] == target else []
    except (OSError, ValueError, KeyError, TypeError):
        # A report that cannot be read is no part's trouble.
        return None
    for step in steps:
        if step["status"] == "failed" and step["notebook"].startswith(ASKING):
            return _of(step, str(report.get("started", "")))
    return None


def _of(step: Mapping[str, Any], started: str) -> Finding:
    reason = " ".join(str(step.get("reason") or "").split())
    hint = "workshop run --only 07; the report has every answer with its tool calls"
    for pattern, remedy in HINTS:
        if re.search(pattern, reason, re.IGNORECASE):
            hint = f"{remedy}; then workshop run --only {ASKING}"
            break
    seen = f"every part is well, and in the last run ({started}) {step['notebook']} failed: "
    return Finding("agent", False, seen + reason[:300], hint)
