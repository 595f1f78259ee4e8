"""The whole chain, as a run of the runner leaves it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import workshop
from workshop.agent.agent import Agent
from workshop.targets.local.target import LocalTarget

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Chain:
    """What the run left: its folder, its output, its report; and the target that still runs."""

    home: Path
    output: str
    code: int

    @property
    def latest(self) -> Path:
        return self.home / "runs" / "latest"

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.latest / "report.json").read_text("utf-8"))
        return found

    @property
    def target(self) -> LocalTarget:
        target = workshop.connect()
        assert isinstance(target, LocalTarget)
        return target

    def agent(self) -> Agent:
        return workshop.create_agent(self.target)

    def run(
        self, *words: str, timeout: float = 600, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """The command line, as a person runs it, with these variables besides."""
        return subprocess.run(
            [sys.executable, "-m", "workshop.cli", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            cwd=ROOT,
            env=os.environ | env,
        )
