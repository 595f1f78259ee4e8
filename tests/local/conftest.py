"""Real child servers, each in a folder of its test, and none of them left behind."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from serving import SERVERS, Running, command_for, listening
from standin import tiny
from workshop.core.secret import Secret
from workshop.targets.local.process import MARKER, Process, is_over
from workshop.targets.local.target import LocalTarget


@pytest.fixture
def port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number: int = probe.getsockname()[1]
    return number


@pytest.fixture(autouse=True)
def no_survivors(tmp_path: Path) -> Iterator[None]:
    """After each test, no process of a control folder under its tmp_path is left."""
    yield
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            marker = process.environ().get(MARKER, "")
            if marker.startswith(f"{tmp_path.resolve()}/") and not is_over(process):
                left.append(" ".join(process.cmdline()))
                process.kill()
    assert not left, f"left behind: {left}"


@pytest.fixture
def where(tmp_path: Path) -> Iterator[LocalTarget]:
    """A target of its own, with parts that start at once; they are stopped in the end."""
    target = tiny.target(tmp_path)
    yield target
    target.stop()


Serve = Callable[..., Running]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serve]:
    """Start server.py with these flags as a part named ``name``, and wait until it listens."""
    started: list[Process] = []

    def start(
        *flags: str,
        name: str = "server",
        env: dict[str, str] | None = None,
        fingerprint: str = "1",
        secrets: tuple[Secret, ...] = (),
        wait: bool = True,
    ) -> Running:
        process = Process(tmp_path / "local" / name, name, secrets=lambda: secrets)
        started.append(process)
        command = command_for(*flags, tmp_path=tmp_path, env=env, secrets=secrets)
        process.start(command, fingerprint=fingerprint)
        return Running(process, listening(process) if wait else "")

    yield start
    for process in started:
        process.stop(grace=0.2)


@pytest.fixture
def script() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Run a script of servers/ as a plain child, and return once it has printed its first line."""
    children: list[subprocess.Popen[str]] = []

    def run(name: str, *arguments: object) -> subprocess.Popen[str]:
        argv = [sys.executable, str(SERVERS / name), *map(str, arguments)]
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline()
        return child

    yield run
    for child in children:
        child.kill()
        child.communicate()
