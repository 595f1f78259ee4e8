"""The whole chain, once for all tests of this folder: run by the runner, in a folder of its own.

Nothing here is a stand-in: the real model, Llama Stack, database, MCP server and agent, brought up
by the unpatched notebooks. The first test that asks for ``chain`` pays for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import workshop
from workshop.agent import Agent
from workshop.local.target import LocalTarget

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

    def run(self, *words: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """The command line, as a person runs it."""
        return subprocess.run(
            [sys.executable, "-m", "workshop.run.cli", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            cwd=ROOT,
        )


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """The sequence 00 to 07, run once; the services stay up until the tests are over."""
    home = tmp_path_factory.mktemp("chain")
    before = os.environ.get("WORKSHOP_HOME")
    os.environ["WORKSHOP_HOME"] = str(home)
    chain = Chain(home, "", 0)
    try:
        done = chain.run("run", timeout=1500)
        chain.output, chain.code = done.stdout, done.returncode
        yield chain
    finally:
        chain.target.clean_up(data=True)
        if before is None:
            del os.environ["WORKSHOP_HOME"]
        else:
            os.environ["WORKSHOP_HOME"] = before
