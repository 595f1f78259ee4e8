"""One run at a time, by a lock that names its holder and ends with it."""

from __future__ import annotations

import os
import signal
import stat
import threading
from pathlib import Path

import pytest
from workshop.core.errors import AlreadyRunning
from workshop.core.files import hold, turn
from workshop.targets.local.process import Process

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "local" / "lock"


def test_the_second_run_is_told_who_holds_the_folder(lock, script):
    holder = script("holder.py", lock, "workshop run")
    with pytest.raises(AlreadyRunning) as error, hold(lock, "workshop stop"):
        pass
    what, where, state, hint = str(error.value).split("\n")
    assert what == "Another run uses this folder."
    assert where == f"  Where: {lock}"
    assert state.startswith(f"  Last state: workshop run (pid {holder.pid}), since 20")
    assert hint == f"  Hint: wait for it, or stop it: kill {holder.pid}"


def test_the_hint_works(lock, script):
    holder = script("holder.py", lock, "workshop run")
    os.kill(holder.pid, signal.SIGTERM)
    holder.wait()
    with hold(lock, "workshop run"):
        pass


def test_a_holder_that_is_killed_frees_it(lock, script):
    holder = script("holder.py", lock, "workshop run")
    holder.kill()
    holder.wait()
    # What the dead one wrote is still there, and must not count.
    assert str(holder.pid) in lock.read_text()
    with hold(lock, "workshop run"):
        assert f'"pid": {os.getpid()}' in lock.read_text()
    assert lock.read_text() == ""
    with hold(lock, "workshop run"):
        pass


def test_an_error_in_the_block_frees_it(lock):
    with pytest.raises(KeyboardInterrupt), hold(lock, "workshop run"):
        raise KeyboardInterrupt
    with hold(lock, "workshop run"):
        pass


def test_a_server_that_the_holder_started_does_not_keep_it(lock, script, tmp_path):
    folder = tmp_path / "local" / "server"
    holder = script("holder.py", lock, "workshop run", folder)
    with pytest.raises(AlreadyRunning), hold(lock, "workshop run"):
        pass
    holder.kill()
    holder.wait()
    server = Process(folder, "server")
    assert server.state() == "running"
    with hold(lock, "workshop run"):
        pass
    assert server.stop() is True


def test_one_that_has_not_written_who_it_is_yet_is_waited_for(lock):
    with turn(lock), pytest.raises(AlreadyRunning) as error, hold(lock, "workshop run"):
        pass
    assert str(error.value) == (
        f"Another run uses this folder.\n  Where: {lock}\n  Hint: wait for it"
    )


def test_the_lock_is_private(lock):
    with hold(lock, "workshop run"):
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        assert stat.S_IMODE(lock.parent.stat().st_mode) == 0o700


def test_a_shorter_note_leaves_nothing_of_the_longer_one_before(lock, script):
    long = script("holder.py", lock, "workshop run " + "-p name=value " * 20)
    long.kill()
    long.wait()
    short = script("holder.py", lock, "x")
    with pytest.raises(AlreadyRunning, match=rf"Last state: x \(pid {short.pid}\), since"):
        hold(lock, "workshop run").__enter__()


def test_turns_wait_for_each_other(lock):
    order = []
    inside, entered = threading.Event(), threading.Event()

    def second() -> None:
        entered.set()
        with turn(lock):
            order.append("second")

    with turn(lock):
        thread = threading.Thread(target=second)
        thread.start()
        assert entered.wait(10)
        # It cannot come in now, so this ends by its time.
        assert not inside.wait(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
