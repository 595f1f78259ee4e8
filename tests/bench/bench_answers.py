"""Measures how often the questions of notebook 07 are answered grounded.

Each question ``ROUNDS`` times at temperature 0, in another order each round, so that the model's
prompt cache is another one too; then as often at temperature ``WARM``, which chooses less likely
words: what survives it does not hang on one word. Once with MongoDB and once without.

It brings up the parts in a state folder of its own, so that what runs in this checkout goes on.
Prints one JSON object, kept in ``bench-results/answers.json``.
Gives 1 when an answer at temperature 0 was not grounded.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import workshop
from workshop.agent import questions
from workshop.agent.answer import NotAsked
from workshop.core.errors import AnswerNotGrounded

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "bench-results" / "answers.json"
ROUNDS = 5
WARM = 0.5


def grounded(*, use_mongodb: bool, temperature: float) -> dict[str, Any]:
    """Of each question: how many answers were grounded, and why others were not."""
    agent = workshop.create_agent(
        workshop.connect(), use_mongodb=use_mongodb, temperature=temperature
    )
    asked = [*questions.RUNBOOK_QUESTIONS]
    if use_mongodb:
        asked += questions.DATABASE_QUESTIONS
    found: dict[str, dict[str, Any]] = {
        question.text: {"grounded": 0, "of": ROUNDS, "not": []} for question in asked
    }
    shuffle = random.Random(7).shuffle  # noqa: S311 - an order, no secret
    for _ in range(ROUNDS):
        shuffle(asked)
        for question in asked:
            row = found[question.text]
            try:
                answer = agent.ask(question.text)
            except AnswerNotGrounded as error:
                row["not"].append(f"{error.what} {error.state}")
            else:
                assert not isinstance(answer, NotAsked)
                row["grounded"] += 1
    return found


def main() -> int:
    """Ask, print and keep; clean up whatever happened."""
    with tempfile.TemporaryDirectory(prefix="bench-answers-") as home:
        os.environ["WORKSHOP_HOME"] = home
        up = [sys.executable, "-m", "workshop.cli", "run", "--from", "02", "--to", "06"]
        try:
            subprocess.run(up, check=True, stdout=sys.stderr)
            result = {
                f"{'with' if use_mongodb else 'without'} mongodb, "
                f"temperature {temperature}": grounded(
                    use_mongodb=use_mongodb, temperature=temperature
                )
                for use_mongodb in (True, False)
                for temperature in (0.0, WARM)
            }
        finally:
            workshop.connect().clean_up(data=True)
    text = json.dumps({"name": "answers", **result}, indent=2)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    cold = [row for key, rows in result.items() if key.endswith(" 0.0") for row in rows.values()]
    return 0 if all(row["grounded"] == row["of"] for row in cold) else 1


if __name__ == "__main__":
    sys.exit(main())
