"""What the tests of the local target do with their child servers."""

from __future__ import annotations

import json
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
from workshop.core.secret import Secret
from workshop.core.wait import NotYet, wait_for
from workshop.targets.local.process import Command, Process, is_over

SERVERS = Path(__file__).parent / "servers"


@dataclass
class Running:
    """A server of the tests that was started as a part is."""

    process: Process
    url: str

    def get(self, path: str = "/") -> dict[str, object]:
        with urllib.request.urlopen(f"{self.url}{quote(path)}", timeout=10) as answer:
            content: dict[str, object] = json.load(answer)
            return content


def command_for(
    *flags: str, tmp_path: Path, env: dict[str, str] | None = None, **more: tuple[Secret, ...]
) -> Command:
    """How tests/local/servers/server.py is run with these flags."""
    argv = (sys.executable, str(SERVERS / "server.py"), *flags)
    return Command(argv, env or {}, tmp_path, {"main": 0}, **more)


def listening(process: Process) -> str:
    """Wait for a started server to listen; gives its URL."""

    def seen() -> str | NotYet:
        for line in reversed(process.log_tail(5)):
            if line.startswith("listening on "):
                return "http://" + line.removeprefix("listening on ")
        state = process.describe()
        assert state.startswith("running"), (state, process.log_tail())
        return NotYet(state)

    return wait_for("the server", seen, timeout=20, every=0.02)


def gone(pid: int) -> None:
    """Wait until a process of a test is over."""

    def over() -> bool | NotYet:
        try:
            return is_over(psutil.Process(pid)) or NotYet("alive")
        except psutil.NoSuchProcess:
            return True

    wait_for(f"pid {pid} to end", over, timeout=10, every=0.02)
