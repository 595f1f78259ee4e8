"""A copied or moved folder notices, and never touches what belongs to another one."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest
from serving import gone
from standin import tiny
from workshop.cli import main
from workshop.core.errors import StepMissing, WorkshopError
from workshop.core.secret import Secret
from workshop.targets.base import Part
from workshop.targets.local.process import Process, mark_of
from workshop.targets.local.store import PLACE
from workshop.targets.local.target import LocalTarget

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def first(tmp_path, port):
    """A folder ``a`` in which one part runs, with a credential and data."""
    where = tiny.target(tmp_path / "a")
    where.store.secret("mongodb password", lambda: "kept-with-the-data")
    tiny.ensure(where, Part("mongodb", port))
    yield where
    ours = [p for p in psutil.process_iter() if (mark_of(p) or "").startswith(f"{tmp_path}/")]
    for process in ours:
        process.kill()
    psutil.wait_procs(ours, timeout=10)


def copied(first: LocalTarget, tmp_path: Path) -> Path:
    """As ``cp -a a b`` leaves it; gives the state's folder."""
    return Path(shutil.copytree(tmp_path / "a", tmp_path / "b")) / "state"


def refused(folder: Path) -> str:
    with pytest.raises(WorkshopError) as error:
        tiny.target(folder)
    return str(error.value)


def test_a_copy_is_refused_by_every_command(first, tmp_path, monkeypatch, capsys):
    copy = copied(first, tmp_path)
    monkeypatch.setenv("WORKSHOP_HOME", str(copy))
    for command in ("status", "stop", "doctor", "run --only 99 -p DELETE_DATA=True"):
        assert main(command.split()) == 1
        shown = capsys.readouterr()
        assert (shown.out, shown.err) == (
            "",
            "This folder's state is a copy of another folder's.\n"
            f"  Where: {copy}\n"
            f"  Last state: its parts, data and passwords are those of {tmp_path}/a/state\n"
            "  Hint: go on in that folder, or start over in this one: "
            f"rm -r {copy}/local\n",
        )
    assert tiny.pid_of(first, "mongodb")
    assert first.store.secrets_path.exists()


def test_the_hint_for_a_copy_works(first, tmp_path, port):
    shutil.rmtree(copied(first, tmp_path) / "local")
    second = tiny.target(tmp_path / "b")
    assert second.status() == []
    assert tiny.ensure(second, Part("mongodb", port)).endpoint.port != port
    assert second.clean_up(data=True)
    assert first.find("mongodb").port == port
    assert tiny.pid_of(first, "mongodb")


def test_a_record_that_was_copied_signals_nothing(first, tmp_path):
    """Also without what tells a copy, as an earlier version left it."""
    copy = copied(first, tmp_path)
    (copy / "local" / PLACE).unlink()
    process = Process(copy / "local" / "mongodb", "mongodb")
    assert process.state() == "stranger"
    second = tiny.target(tmp_path / "b")
    assert second.stop() == []
    second.clean_up(data=True)
    assert tiny.pid_of(first, "mongodb")


def test_a_folder_that_was_moved_while_its_parts_ran(first, tmp_path, port):
    pid = tiny.pid_of(first, "mongodb")
    (tmp_path / "a").rename(tmp_path / "b")
    assert refused(tmp_path / "b") == (
        "This folder was moved while its parts ran.\n"
        f"  Where: {tmp_path}/b/state\n"
        f"  Last state: mongodb (pid {pid}): started in {tmp_path}/a/state, "
        "where their files no longer are\n"
        f"  Hint: end them: kill {pid}; then run this again. Data is kept"
    )
    # Nor does a new folder at the old path take them for its own.
    assert refused(tmp_path / "a") == (
        "Parts still run of a folder that was here before.\n"
        f"  Where: {tmp_path}/a/state\n"
        f"  Last state: mongodb (pid {pid})\n"
        f"  Hint: end them: kill {pid}; then run this again"
    )
    os.kill(pid, signal.SIGTERM)
    gone(pid)
    moved = tiny.target(tmp_path / "b")
    with pytest.raises(StepMissing, match=r"^mongodb does not run any more\."):
        moved.find("mongodb")
    assert tiny.ensure(moved, Part("mongodb", port)).action == "restarted"
    assert moved.store.secret("mongodb password", str) == Secret("kept-with-the-data")


def test_a_folder_that_was_moved_goes_on_and_is_no_copy_of_a_new_one(first, tmp_path, port):
    first.stop()
    (tmp_path / "a").rename(tmp_path / "b")
    anew = tiny.target(tmp_path / "a")
    tiny.ensure(anew, Part("mongodb", port))
    moved = tiny.target(tmp_path / "b")
    assert tiny.ensure(moved, Part("mongodb", port)).endpoint.port != port
    assert moved.store.secret("mongodb password", str) == Secret("kept-with-the-data")
    assert moved.stop() == ["mongodb"]
    assert tiny.pid_of(anew, "mongodb")


def test_a_copy_whose_original_is_gone_goes_on(first, tmp_path):
    first.stop()
    copied(first, tmp_path)
    shutil.rmtree(tmp_path / "a")
    left = tiny.target(tmp_path / "b")
    assert left.store.secret("mongodb password", str) == Secret("kept-with-the-data")


@pytest.mark.parametrize(
    ("text", "state"), [("{", "JSONDecodeError"), ('{"id": "1"}', "it lacks 'path'")]
)
def test_a_damaged_place_is_one_clear_error(first, tmp_path, text, state):
    file = first.store.local / PLACE
    file.write_text(text)
    said = refused(tmp_path / "a")
    assert said.startswith(
        f"A file of this checkout's state is damaged.\n  Where: {file}\n  Last state: {state}"
    )
    assert said.endswith(f"\n  Hint: restore it, or remove it when no part runs: rm {file}")


def test_git_ignores_the_state_wherever_it_is(first):
    assert (first.store.local / ".gitignore").read_text() == "*\n"
