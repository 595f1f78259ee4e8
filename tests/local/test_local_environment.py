"""What the local target needs of this machine, told all at once and each with its remedy."""

from __future__ import annotations

import os
import sys

import psutil
import pytest
from standin import tiny
from workshop import add_gpu_nodes, check_environment, connect, verify_gpu_nodes
from workshop.errors import CheckFailed, SettingsError
from workshop.local import environment
from workshop.target import Part

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def where(tmp_path):
    target = tiny.target(tmp_path)
    yield target
    target.stop()


def seen(state, ports=(), pids=()):
    return {check.name: check for check in environment.checks(state, dict(ports), pids)}


def test_every_requirement_has_a_line(tmp_path):
    found = seen(tmp_path / "state")
    assert list(found) == [
        *("Python", "memory", "disk", "state folder"),
        *("model-server", "chat-weights", "embedding-weights", "llama-stack", "tokenizer"),
        *("mongodb", "node", "mcp-server"),
        *(f"port {port}" for port in (8080, 8081, 8321, 27017, 3000)),
    ]
    assert found["Python"].ok
    assert found["Python"].seen == ".".join(map(str, sys.version_info[:3]))
    assert found["state folder"].seen == str(tmp_path / "state")
    assert found["disk"].seen.endswith(f" GiB at {tmp_path}")
    assert not (tmp_path / "state").exists()


def test_all_that_is_not_installed_is_listed_with_one_remedy(where, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CheckFailed) as error:
        check_environment(where)
    for name in environment.COMPONENTS:
        assert f"{name}: expected installed, saw " in error.value.state
    assert error.value.state.count("make setup") == len(environment.COMPONENTS)
    assert error.value.hint == "read the table above, mend it, and run this notebook again"


def test_too_little_memory_or_disk_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "MEMORY", 2**60)
    monkeypatch.setattr(environment, "DISK", 2**60)
    found = seen(tmp_path)
    assert not found["memory"].ok
    assert found["memory"].seen.endswith(" GiB: end other programs")
    assert not found["disk"].ok
    assert found["disk"].seen.endswith(
        f" GiB at {tmp_path}: make room, or set WORKSHOP_HOME to another disk"
    )


def test_memory_that_our_own_parts_hold_is_not_missing():
    held = environment._held(os.getpid())
    assert held >= psutil.Process().memory_info().rss > 2**20
    assert environment._held(2**22 + 1) == 0
    free = psutil.virtual_memory().available
    ok, shown = environment._memory([os.getpid()] * 50)
    assert ok
    assert float(shown.split()[0]) > (free + 25 * held) / 2**30


@pytest.mark.parametrize("place", ["notes.txt", "notes.txt/state"])
def test_a_state_folder_that_cannot_be_made(tmp_path, place):
    (tmp_path / "notes.txt").write_text("")
    found = seen(tmp_path / place)
    assert not found["state folder"].ok
    assert found["state folder"].seen == (
        f"{tmp_path / 'notes.txt'} is not a folder that you can write to: set WORKSHOP_HOME to one"
    )


def test_ports_say_who_holds_them(where, port, script, tmp_path, monkeypatch):
    tiny.ensure(where, Part("model", port))
    stranger = script("stealer.py", port + 1)
    monkeypatch.setattr(environment, "PORTS", {port: "", port + 1: "", port + 2: ""})
    found = {check.name: check for check in where.environment()}
    assert found[f"port {port}"].seen == "held by this kit's model"
    assert found[f"port {port + 1}"].seen == (
        f"taken by {psutil.Process(stranger.pid).name()} (pid {stranger.pid}): "
        "the next free one will be used"
    )
    assert found[f"port {port + 2}"].seen == "free"
    assert all(found[f"port {port + offset}"].ok for offset in range(3))


def test_gpu_nodes_are_left_out_with_the_reason(where, capsys):
    reason = "the local target adds no machines: the model runs on this machine's CPU"
    assert add_gpu_nodes(where) == reason
    assert verify_gpu_nodes(where).skipped == reason
    assert f"skipped: {reason}" in capsys.readouterr().err


def test_an_unknown_target_is_refused_with_the_nearest():
    with pytest.raises(SettingsError) as error:
        connect("locla")
    assert str(error.value) == (
        "There is no target 'locla'.\n"
        "  Where: the parameter TARGET\n"
        "  Last state: targets: local, cluster\n"
        '  Hint: set TARGET = "local"'
    )


def test_the_state_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path / "mine"))
    target = connect()
    assert target.name == "local"
    target.remember("fact", "value")
    assert (tmp_path / "mine" / "local" / "facts.json").exists()
