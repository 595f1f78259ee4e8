"""Measures the whole sequence, a question, a second run, and the command line's start.

(a) the sequence, everything installed and nothing running, against ``plain.py``: at most 1.25;
(b) ``ask`` against the same bare Responses call: at most 1.05;
(c) the sequence again with everything up: at most the questions' time and 25 s;
(e) ``import workshop`` and ``workshop --help``: within 0.3 s of ``python -c ""``.

All in one run on one machine, for ratios: a machine's speed drifts. Prints one JSON object and
keeps it in ``bench-results/run.json``. It uses a state folder of its own, so that what runs in this
checkout goes on; nothing else should keep the machine busy meanwhile.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import workshop
from workshop.agent import questions
from workshop.clients import llama_stack as stack_client
from workshop.parts import llama_stack

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "bench-results" / "run.json"
ROUNDS = 3
STARTS = 7
"""How often each start of Python is timed; the median counts."""


def run(*words: str) -> tuple[float, dict[str, Any]]:
    """The seconds of one ``workshop run``, and its report."""
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "workshop.cli", "run", *words], check=True, stdout=sys.stderr
    )
    seconds = time.monotonic() - began
    report = Path(os.environ["WORKSHOP_HOME"]) / "runs" / "latest" / "report.json"
    return seconds, json.loads(report.read_text(encoding="utf-8"))


def plain(instructions: str) -> dict[str, Any]:
    """What the plain script measured of itself, with its whole time from outside."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("plain.py")],
        input=instructions,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"process": round(time.monotonic() - began, 2)}


def ask_against_bare(agent: Any) -> dict[str, float]:
    """(b): pairs of the same short question, by the kit and by one bare call, warm both times."""
    question = questions.DATABASE_QUESTIONS[3].text
    client = stack_client.client(agent.target.find(llama_stack.PART))
    pairs = []
    for turn in range(ROUNDS + 1):
        began = time.monotonic()
        client.responses.create(
            model=llama_stack.model_id(agent.target),
            input=question,
            instructions=agent.instructions,
            tools=agent._tools,
            temperature=0,
            parallel_tool_calls=False,
            store=False,
        )
        bare = time.monotonic() - began
        began = time.monotonic()
        agent.ask(question)
        asked = time.monotonic() - began
        if turn:  # the first pair fills the model's prompt cache
            pairs.append((asked, bare))
    return {
        "ask": round(statistics.median(asked for asked, _ in pairs), 2),
        "bare": round(statistics.median(bare for _, bare in pairs), 2),
        "ratio": round(statistics.median(asked / bare for asked, bare in pairs), 3),
        "limit": 1.05,
    }


def starts() -> dict[str, float]:
    """(e): median seconds of three ways to start Python."""
    commands = {
        "python": [sys.executable, "-c", ""],
        "import": [sys.executable, "-c", "import workshop"],
        "help": [str(Path(sys.executable).with_name("workshop")), "--help"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(STARTS):
        for name, command in commands.items():
            began = time.monotonic()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.monotonic() - began)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "import_over_python": round(median["import"] - median["python"], 3),
        "help_over_python": round(median["help"] - median["python"], 3),
        "limit": 0.3,
    }


def main() -> None:
    """Measure everything, and clean up whatever happened."""
    with tempfile.TemporaryDirectory(prefix="bench-run-") as home:
        os.environ["WORKSHOP_HOME"] = home
        result: dict[str, Any] = {"name": "run", "e": starts()}
        try:
            first, report = run()
            asked = sum(answer["seconds"] for answer in report["answers"])
            again, second_report = run()
            asked_again = sum(answer["seconds"] for answer in second_report["answers"])
            agent = workshop.create_agent(workshop.connect())
            result["c"] = {
                "seconds": round(again, 1),
                "questions": round(asked_again, 1),
                "beyond": round(again - asked_again, 1),
                "limit": 25.0,
            }
            result["b"] = ask_against_bare(agent)
            instructions = agent.instructions
        finally:
            workshop.connect().clean_up(data=True)
        bare = plain(instructions)
        result["a"] = {
            "seconds": round(first, 1),
            "questions": round(asked, 1),
            "plain": bare["process"],
            "plain_questions": round(sum(bare["asked"].values()), 1),
            "ratio": round(first / bare["process"], 3),
            "limit": 1.25,
            "steps": {step["notebook"]: step["seconds"] for step in report["steps"]},
        }
    text = json.dumps(result, indent=2)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
