"""A process that outlives its starter, is found again, and is stopped as a tree."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import nbclient
import nbformat
import psutil
import pytest
from serving import SERVERS, command_for, gone, listening
from workshop.core import files
from workshop.core.errors import AlreadyRunning, PartFailed, WorkshopError
from workshop.core.secret import Secret
from workshop.core.wait import NotYet, wait_for
from workshop.targets.local import ports
from workshop.targets.local.process import Command, Process, family, is_over

pytestmark = pytest.mark.timeout(60)


def again(process: Process) -> Process:
    """As the next notebook sees it: another object on the same folder."""
    return Process(process.folder, process.name)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- starting ------------------------------------------------------------------------------------


def test_a_started_process_is_recorded_and_answers(server, tmp_path):
    running = server("--port", "0", env={"TOKEN": "t0ken-of-this-test"}, fingerprint="abc")
    record = again(running.process).record()
    assert record.pid == running.get()["pid"]
    assert record.fingerprint == "abc"
    assert record.env == ["TOKEN"]
    assert record.argv[1] == str(SERVERS / "server.py")
    assert record.cwd == str(tmp_path) == running.get()["cwd"]
    assert record.exit_code is None
    assert abs(record.create_time - psutil.Process(record.pid).create_time()) < 0.1
    assert again(running.process).state() == "running"
    assert again(running.process).describe() == f"running (pid {record.pid})"


def test_the_control_folder_is_private_and_holds_no_secret(server):
    running = server(env={"TOKEN": "t0ken-of-this-test"}, secrets=(Secret("t0ken-of-this-test"),))
    folder = running.process.folder
    assert mode(folder) == 0o700
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        "process.json": 0o600,
        "log": 0o600,
        "turn": 0o600,
    }
    for path in folder.iterdir():
        assert "t0ken-of-this-test" not in path.read_text()
    assert "t0ken" not in " ".join(psutil.Process(running.process.record().pid).cmdline())


def test_a_secret_on_the_command_line_is_refused(tmp_path):
    process = Process(tmp_path / "local" / "server", "server")
    for argument in ("--token=hunter2-hunter2", "mongodb://u:hunter2-hunter2@host", "short"):
        secrets = (Secret("hunter2-hunter2"), Secret("short"))
        command = command_for("--say-env", argument, tmp_path=tmp_path, secrets=secrets)
        with pytest.raises(ValueError, match=r"^argument 3 of the command") as e:
            process.start(command, fingerprint="")
        assert "hunter2" not in str(e.value)
    assert not process.folder.exists()
    assert "hunter2" not in repr(Command(("x",), {"TOKEN": "hunter2-hunter2"}, tmp_path, {}))


def test_a_short_secret_may_stand_in_a_path_by_chance(server, tmp_path):
    assert server(secrets=(Secret("server"),)).process.state() == "running"


def test_it_sees_only_the_inherited_base_and_its_own_variables(server, monkeypatch):
    monkeypatch.setenv("SOMEBODYS_OWN", "1")
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,fd00:1234::/32")
    running = server(env={"PART_OF": "this test"})
    env = running.get()["env"]
    assert env["PATH"] == os.environ["PATH"]
    assert env["PART_OF"] == "this test"
    assert env["WORKSHOP_PART"] == str(running.process.folder)
    assert "SOMEBODYS_OWN" not in env
    # Parts are on loopback, which no proxy reaches.
    assert not [name for name in env if name.lower().endswith("_proxy")]


def test_it_has_its_own_session_and_no_input(server):
    pid = server().process.record().pid
    assert os.getsid(pid) == pid != os.getsid(0)
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")


def test_starting_what_runs_is_refused(server, tmp_path):
    process = server().process
    pid = process.record().pid
    with pytest.raises(AlreadyRunning) as error:
        again(process).start(command_for(tmp_path=tmp_path), fingerprint="2")
    assert str(error.value) == f"server runs already.\n  Last state: running (pid {pid})"
    assert process.record().pid == pid


def test_a_program_that_is_not_there_leaves_nothing(tmp_path):
    process = Process(tmp_path / "local" / "model", "model")
    with pytest.raises(PartFailed) as error:
        process.start(Command(("/nowhere/llama",), {}, tmp_path, {}), fingerprint="")
    assert str(error.value) == (
        "model could not be started.\n"
        "  Where: /nowhere/llama\n"
        "  Last state: /nowhere/llama: No such file or directory\n"
        "  Hint: make setup"
    )
    assert process.state() == "absent"
    assert process.describe() == "not started"


def test_a_working_folder_that_is_not_there_is_named(tmp_path):
    process = Process(tmp_path / "local" / "model", "model")
    with pytest.raises(PartFailed, match=f"{tmp_path}/no: No such file or directory"):
        process.start(Command((sys.executable,), {}, tmp_path / "no", {}), fingerprint="")


def test_a_disk_that_is_full_leaves_no_process(tmp_path):
    process = Process(tmp_path / "local" / "server", "server")
    ports = {f"a port with a long name {number}": number for number in range(500)}
    command = replace(command_for(tmp_path=tmp_path), ports=ports)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Writing more than this to one file fails: the log's first line fits, the record does not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(WorkshopError) as error:
            process.start(command, fingerprint="")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(error.value) == (
        "This checkout's state could not be written.\n"
        f"  Where: {process.folder}/process.json\n"
        "  Last state: File too large\n"
        "  Hint: free space on that disk, or set WORKSHOP_HOME to a folder that you can write to"
    )
    assert process.state() == "absent"
    assert family(process.folder) == []
    assert sorted(path.name for path in process.folder.iterdir()) == ["log", "turn"]


@pytest.mark.parametrize("moment", ["in the spawn", "in the record"])
def test_ctrl_c_leaves_a_recorded_process(tmp_path, moment):
    class Interrupted(Process):
        """Presses Ctrl-C while it is being started."""

        def _spawn(self, command):
            pid = super()._spawn(command)
            if moment == "in the spawn":
                os.kill(os.getpid(), signal.SIGINT)
            return pid

        def _write(self, record):
            if moment == "in the record":
                os.kill(os.getpid(), signal.SIGINT)
            super()._write(record)

    process = Interrupted(tmp_path / "local" / "server", "server")
    with pytest.raises(KeyboardInterrupt):
        process.start(command_for(tmp_path=tmp_path), fingerprint="")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert again(process).state() == "running"
    pid = process.record().pid
    listening(process)
    # The child did not inherit a blocked or ignored Ctrl-C.
    os.kill(pid, signal.SIGINT)
    gone(pid)
    assert process.stop() is False


def test_of_two_that_start_it_at_once_one_does(tmp_path):
    source = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(SERVERS.parent)!r})
from serving import command_for
from workshop.core.errors import AlreadyRunning
from workshop.targets.local.process import Process
folder = Path(sys.argv[1])
sys.stdin.readline()
try:
    Process(folder / "local" / "server", "server").start(
        command_for(tmp_path=folder), fingerprint=""
    )
except AlreadyRunning as error:
    sys.stdout.write(error.state)
else:
    sys.stdout.write("started")
"""
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", source, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for starter in starters:
        starter.stdin.write("go\n")
        starter.stdin.flush()
    answers = sorted(starter.communicate()[0] for starter in starters)
    process = Process(tmp_path / "local" / "server", "server")
    running = f"running (pid {process.record().pid})"
    assert process.describe() == running
    assert answers == [running, running, "started"]
    assert len(family(process.folder)) == 1
    assert process.stop() is True


def test_it_can_be_started_from_another_thread(tmp_path):
    process = Process(tmp_path / "local" / "server", "server")
    command = command_for(tmp_path=tmp_path)
    thread = threading.Thread(target=process.start, args=(command,), kwargs={"fingerprint": "1"})
    thread.start()
    thread.join()
    assert process.state() == "running"
    assert process.stop() is True


# --- the log -------------------------------------------------------------------------------------


def test_the_log_begins_with_what_was_started_and_keeps_the_one_before(server, tmp_path):
    process = server("--crash", "first run", wait=False).process
    gone(process.record().pid)
    process.stop()
    process = server("--crash", "second run", wait=False).process
    gone(process.record().pid)
    process.stop()
    process = server().process
    begun, up = process.log_tail()
    assert begun.startswith("--- started 2")
    assert begun.endswith(f"{sys.executable} {SERVERS / 'server.py'}")
    assert up.startswith("listening on 127.0.0.1:")
    assert "second run" in process.log_path.with_name("log.1").read_text()
    assert "first run" not in process.log_path.with_name("log.1").read_text()
    assert mode(process.log_path.with_name("log.1")) == 0o600


def test_much_output_does_not_hold_it_up_and_the_tail_is_the_end(server):
    process = server("--noise", "20000").process
    assert process.log_path.stat().st_size > 2_000_000
    tail = process.log_tail(3)
    assert tail[:2] == [f"line {number}: {'x' * 100}" for number in (19998, 19999)]
    assert tail[2].startswith("listening on ")
    whole = process.log_tail(100_000)
    assert len(whole) == 20_002
    assert whole[0].startswith("--- started")
    assert process.log_tail(0) == []


def test_a_log_shows_no_secret_no_colour_and_no_redrawn_line(server):
    secret = Secret("s3cret/of this=test")
    process = server(
        "--say-env", "TOKEN", env={"TOKEN": secret.reveal()}, secrets=(secret,)
    ).process
    assert "my secret is ****" in process.log_tail()
    assert "my secret is ****" in [
        line for line, _ in zip(process.follow(), range(2), strict=False)
    ]
    with process.log_path.open("ab") as log:
        log.write(b"\x1b[31mred\x1b[0m\n10%\r50%\r100%\nnot utf-8: \xff\nunfinished")
    assert process.log_tail(4) == ["red", "100%", "not utf-8: \ufffd", "unfinished"]


def test_following_gives_each_line_when_it_is_whole_and_goes_on_over_a_restart(server):
    running = server()
    lines = running.process.follow(lines=1)
    assert next(lines).startswith("listening on ")
    running.get("/print/one")
    assert next(lines) == "one"
    running.get("/print/two\nthree")
    assert [next(lines), next(lines)] == ["two", "three"]
    with running.process.log_path.open("ab") as log:
        log.write(b"half ")
    running.get("/print/a line")
    assert next(lines) == "half a line"
    running.process.stop()
    server()
    assert next(lines).startswith("--- started")
    assert next(lines).startswith("listening on ")
    lines.close()


def test_following_waits_for_a_log_that_is_not_there_yet(server, tmp_path):
    seen = []
    early = Process(tmp_path / "local" / "server", "server").follow()
    reader = threading.Thread(target=lambda: seen.append(next(early)))
    reader.start()
    server()
    reader.join()
    assert seen[0].startswith("--- started")
    early.close()


# --- its state -----------------------------------------------------------------------------------


def test_a_crash_is_seen_with_its_exit_code_and_last_words(server):
    process = server("--crash", "out of memory", "--exit-code", "3", wait=False).process
    gone(process.record().pid)
    assert process.state() == "ended"
    assert process.describe() == "ended with exit code 3"
    assert process.log_tail()[-1] == "out of memory"
    assert again(process).record().exit_code == 3
    assert not psutil.pid_exists(process.record().pid)


def test_kill_9_is_seen_although_the_starter_has_not_asked_for_the_exit_code(server):
    process = server().process
    pid = process.record().pid
    os.kill(pid, signal.SIGKILL)
    # Nobody but this test, its parent, can take the zombie away.
    wait_for(
        "the zombie",
        lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE or NotYet("alive"),
        timeout=10,
        every=0.02,
    )
    seen = subprocess.run(
        [sys.executable, "-c", _SEEN, process.folder], capture_output=True, text=True, check=True
    )
    assert seen.stdout == "ended / ended"
    assert process.state() == "ended"
    assert process.describe() == "killed by SIGKILL"
    assert again(process).describe() == "killed by SIGKILL"
    assert process.stop() is False
    assert process.state() == "absent"


_SEEN = """
import sys
from pathlib import Path
from workshop.targets.local.process import Process
process = Process(Path(sys.argv[1]), "server")
sys.stdout.write(f"{process.state()} / {process.describe()}")
"""


def test_a_pid_that_was_given_to_another_program_is_a_stranger(server, script, port):
    process = server().process
    os.kill(process.record().pid, signal.SIGKILL)
    gone(process.record().pid)
    process.stop()
    stranger = script("stealer.py", port)
    stale = {
        **_record(stranger.pid, created=psutil.Process(stranger.pid).create_time() - 3600),
        "argv": [sys.executable, str(SERVERS / "stealer.py")],
    }
    files.write_json(process.folder / "process.json", stale)
    assert process.state() == "stranger"
    assert process.describe() == (f"ended; its pid {stranger.pid} now belongs to another program")
    assert process.stop() is False
    assert stranger.poll() is None
    files.write_json(process.folder / "process.json", stale)
    assert server().process.state() == "running"
    assert stranger.poll() is None


def test_a_clock_that_was_set_makes_no_stranger(server):
    process = server().process
    record = replace(process.record(), create_time=process.record().create_time - 3600)
    files.write_json(process.folder / "process.json", asdict(record))
    assert process.state() == "running"
    assert process.stop() is True
    gone(record.pid)


def test_a_pid_that_no_process_has_is_ended(tmp_path):
    process = Process(tmp_path / "local" / "server", "server")
    process.folder.mkdir(parents=True)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    files.write_json(process.folder / "process.json", _record(child.pid, created=0))
    assert process.state() == "ended"
    assert process.describe() == "ended"


@pytest.mark.parametrize(
    ("content", "state"),
    [
        ("{", "JSONDecodeError: Expecting property name enclosed in double quotes: line 1"),
        ("[]", "it holds a list, not an object"),
        ('{"pid": 1}', "not as written: 'create_time'"),
        (json.dumps({"pid": "x", "argv": []}), "not as written: "),
    ],
)
def test_a_damaged_record_is_one_clear_error_and_stop_mends_it(server, content, state):
    process = server().process
    pid = process.record().pid
    (process.folder / "process.json").write_text(content)
    with pytest.raises(WorkshopError) as error:
        process.state()
    first, where, seen, hint = str(error.value).split("\n")
    assert first == "A file of this checkout's state is damaged."
    assert where == f"  Where: {process.folder}/process.json"
    assert seen.startswith(f"  Last state: {state}")
    assert hint == "  Hint: workshop stop server"
    assert process.stop() is True
    gone(pid)
    assert process.state() == "absent"


def _record(pid: int, *, created: float) -> dict[str, object]:
    started = "2026-01-01T00:00:00+00:00"
    return {
        **{"pid": pid, "create_time": created, "argv": ["x"], "env": [], "cwd": "/", "ports": {}},
        **{"fingerprint": "", "started": started, "exit_code": None},
    }


# --- stopping ------------------------------------------------------------------------------------


def test_stop_ends_it_and_forgets_it_and_twice_is_fine(server):
    process = server().process
    pid = process.record().pid
    assert again(process).stop() is True
    gone(pid)
    assert process.state() == "absent"
    assert process.record() is None
    assert process.stop() is False
    assert process.log_tail()[-1].startswith("listening on ")


@pytest.mark.parametrize(
    "flags",
    [("--ignore-term",), ("--ignore-term", "--away"), ("--away", "--bare")],
    ids=["same session", "own session", "orphaned on the way and without the marker"],
)
def test_stop_ends_a_stubborn_tree(server, tmp_path, flags):
    process = server("--child", str(tmp_path / "pid"), *flags).process
    wait_for_line(process, "stubborn child is up")
    pids = [process.record().pid, int((tmp_path / "pid").read_text())]
    assert process.stop(grace=0.3) is True
    for pid in pids:
        gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux calls such a process a zombie")
def test_it_runs_until_its_last_thread_has_ended(server, port):
    """As a killed server is for a moment: it looks like a zombie, and holds its port."""
    running = server("--first-thread-ends", "--port", str(port))
    one = psutil.Process(running.get()["pid"])
    wait_for("it", lambda: one.status() == psutil.STATUS_ZOMBIE or NotYet("alive"), timeout=10)
    assert not is_over(one)
    assert running.process.state() == "running"
    assert not ports.is_free(port)
    running.process.stop(grace=5)
    assert is_over(one)
    assert ports.is_free(port)


@pytest.mark.parametrize("away", [(), ("--away",)], ids=["same session", "own session"])
def test_children_that_outlived_a_killed_server_are_ended(server, tmp_path, away):
    process = server("--child", str(tmp_path / "pid"), *away).process
    wait_for_line(process, "stubborn child is up")
    child = int((tmp_path / "pid").read_text())
    os.kill(process.record().pid, signal.SIGKILL)
    gone(process.record().pid)
    assert process.state() == "ended"
    assert not is_over(psutil.Process(child))
    assert again(process).stop(grace=0.1) is True
    gone(child)


def test_a_start_ends_what_an_earlier_server_left(server, tmp_path, port):
    process = server("--child", str(tmp_path / "pid"), "--port", str(port)).process
    wait_for_line(process, "stubborn child is up")
    child = int((tmp_path / "pid").read_text())
    psutil.Process(child).send_signal(signal.SIGKILL)
    os.kill(process.record().pid, signal.SIGKILL)
    gone(process.record().pid)
    assert server("--port", str(port)).url == f"http://127.0.0.1:{port}"
    gone(child)


def test_leaves_come_first(server, tmp_path):
    process = server("--child", str(tmp_path / "pid")).process
    wait_for_line(process, "stubborn child is up")
    assert [member.pid for member in family(process.folder)] == [
        int((tmp_path / "pid").read_text()),
        process.record().pid,
    ]
    process.stop(grace=0.1)


def test_stop_leaves_other_parts_alone(server):
    first, second = server(name="first"), server(name="second")
    first.process.stop()
    assert first.process.state() == "absent"
    assert second.process.state() == "running"


def test_stop_from_another_process_does_not_wait_for_the_starter(server):
    """The starter, this test, has not asked for the exit code: the server stays a zombie."""
    process = server().process
    pid = process.record().pid
    seen = subprocess.run(
        [sys.executable, "-c", _STOP, process.folder], capture_output=True, text=True, check=True
    )
    stopped, seconds = seen.stdout.split()
    assert stopped == "True"
    assert float(seconds) < 5.0
    assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert process.state() == "absent"


_STOP = """
import sys, time
from pathlib import Path
from workshop.targets.local.process import Process
began = time.monotonic()
stopped = Process(Path(sys.argv[1]), "server").stop(grace=10)
sys.stdout.write(f"{stopped} {time.monotonic() - began}")
"""


def wait_for_line(process: Process, line: str) -> None:
    wait_for(
        line,
        lambda: line in process.log_tail(50) or NotYet("not in the log"),
        timeout=20,
        every=0.02,
    )


# --- in a notebook -------------------------------------------------------------------------------


def test_it_outlives_the_kernel_and_is_found_by_the_next_one(tmp_path):
    folder = tmp_path / "local" / "server"
    start = f"""
import sys
from pathlib import Path
from workshop.targets.local.process import Command, Process
argv = (sys.executable, {str(SERVERS / "server.py")!r})
process = Process(Path({str(folder)!r}), "server")
process.start(Command(argv, {{}}, Path({str(tmp_path)!r}), {{}}), fingerprint="1")
"""
    _run_notebook(start, tmp_path)
    process = Process(folder, "server")
    listening(process)
    pid = process.record().pid
    find = f"""
from pathlib import Path
from workshop.targets.local.process import Process
process = Process(Path({str(folder)!r}), "server")
assert process.describe() == "running (pid {pid})", process.describe()
"""
    _run_notebook(find, tmp_path)
    stopped = Process(folder, "server").stop()
    assert stopped is True
    gone(pid)


def test_a_program_may_end_before_what_it_started(tmp_path):
    source = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(SERVERS.parent)!r})
from serving import command_for
from workshop.targets.local.process import Process
folder = Path(sys.argv[1])
Process(folder / "local" / "server", "server").start(command_for(tmp_path=folder), fingerprint="")
"""
    # With all warnings on, so that an object which is not let go of shows.
    argv = [sys.executable, "-X", "dev", "-W", "error", "-c", source, str(tmp_path)]
    seen = subprocess.run(argv, capture_output=True, text=True)
    assert (seen.returncode, seen.stderr) == (0, "")
    process = Process(tmp_path / "local" / "server", "server")
    listening(process)
    assert process.stop() is True


def _run_notebook(source: str, folder: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
