"""The command line, on a folder of its own, with a real process as a part."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import pytest
from workshop.cli import _parser, main
from workshop.core.secret import Secret
from workshop.targets.base import Endpoint
from workshop.targets.local.process import Command, Process
from workshop.targets.local.store import Store

pytestmark = pytest.mark.timeout(60)

SLOW = {"papermill", "nbconvert", "nbclient", "nbformat", "jupyter_client", "IPython", "ipykernel"}
SLOW |= {"httpx", "llama_stack_client", "pymongo", "mcp", "jinja2", "psutil"}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def mongodb(home):
    """A part that has written two lines, and runs until it is stopped."""
    state = Store(home)
    process = Process(state.folder("mongodb"), "mongodb", secrets=state.secrets)
    program = "import threading; print('up\\n--', flush=True); threading.Event().wait()"
    argv = (sys.executable, "-c", program)
    process.start(Command(argv, {}, home, {"main": 27017}), fingerprint="1")
    state.save_endpoint("mongodb", Endpoint("http://127.0.0.1:27017", password=Secret("hunter2")))
    for line in process.follow():
        if line == "--":
            break
    yield process
    process.stop(grace=0.2)


def workshop(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "workshop.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


# --- the command itself --------------------------------------------------------------------------


@pytest.mark.parametrize("statement", ["import workshop", "import workshop.cli as c; c._parser()"])
def test_nothing_slow_is_imported_before_it_is_needed(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {name.partition(".")[0] for name in loaded} & SLOW


def test_help_has_examples_and_every_command():
    shown = workshop("--help")
    assert shown.returncode == 0
    assert "workshop run --without mongodb" in shown.stdout
    for command in ("run", "status", "logs", "stop", "doctor", "setup", "version"):
        assert f"\n    {command} " in shown.stdout
    run = workshop("run", "--help").stdout
    for option in ("--target", "--from", "--to", "--only", "--without", "-p", "--clean-up"):
        assert option in run
    assert "Credentials are never parameters" in run


@pytest.mark.parametrize(
    "arguments", [[], ["walk"], ["run", "--fro"], ["logs"], ["stop", "a", "b"]]
)
def test_a_wrong_call_is_a_usage_error(arguments):
    shown = workshop(*arguments)
    assert shown.returncode == 2
    assert shown.stderr.startswith("usage: workshop")


@pytest.mark.parametrize(
    "words",
    [
        *("run", "status", "logs model", "stop", "doctor", "evaluate", "room --remove"),
        *("images", "version"),
    ],
)
def test_every_command_names_a_function_that_is_there(words):
    assert callable(resolve_name(_parser().parse_args(words.split()).command))


def test_an_error_of_the_kit_has_no_traceback(home, tmp_path):
    shown = workshop("run", "--notebooks", str(tmp_path / "none"))
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == (
        f"There is no numbered notebook to run.\n  Where: {tmp_path / 'none'}\n"
        "  Hint: --notebooks names the folder that holds 00_... to 99_...\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--from", "42"], "There is no step '42'."),
        (["run", "-p", "TIMEOUT=1"], "no notebook of this run has a parameter TIMEOUT, did you"),
        (["run", "-p", "MODEL_TOKEN=x"], "MODEL_TOKEN looks like a credential"),
        (["run", "--target", "moon"], "There is no target 'moon'."),
        (["run", "--without", "model"], "--without model: this part cannot be left out."),
        (["logs", "mongo"], "There is no part 'mongo'."),
        (["stop", "mongo"], "There is no part 'mongo'."),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_starts(home, capsys, arguments, said):
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert "Hint: " in shown.err
    assert not (home / "runs").exists()


def test_version(capsys):
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("agent-workshop-kit 0.")


def test_set_up_has_its_own_help(capsys):
    with pytest.raises(SystemExit) as end:
        main(["setup", "--help"])
    assert end.value.code == 0
    assert "components:" in capsys.readouterr().out


def test_a_reader_that_leaves_early_is_no_error(home, mongodb):
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-m", "workshop.cli", "status"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (0, b"")


# --- what runs -----------------------------------------------------------------------------------


def test_status_before_anything_was_started(home, capsys):
    assert main(["status"]) == 0
    assert capsys.readouterr().out == "Nothing was started here yet.  Hint: workshop run\n"


def test_status_shows_where_a_part_is(home, mongodb, capsys):
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[1].startswith("mongodb  running  http://127.0.0.1:27017  ")
    assert f"pid {mongodb.record().pid}, since " in shown
    assert "hunter2" not in shown


def test_logs_shows_the_last_lines(home, mongodb, capsys):
    assert main(["logs", "mongodb", "-n", "2"]) == 0
    assert capsys.readouterr().out == "up\n--\n"


def test_logs_follows_until_interrupted(home, mongodb):
    process = subprocess.Popen(
        [sys.executable, "-m", "workshop.cli", "logs", "mongodb", "-f"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line == "--\n":
            break
    with mongodb.log_path.open("a") as log:
        log.write("one more\n")
    assert process.stdout.readline() == "one more\n"
    process.send_signal(2)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "\ninterrupted\n")


def test_stop(home, mongodb, capsys):
    assert main(["stop", "mongodb"]) == 0
    assert capsys.readouterr().out == "stopped mongodb\n"
    assert mongodb.state() == "absent"
    assert main(["stop"]) == 0
    assert capsys.readouterr().out == "nothing was running\n"


def test_the_doctor_shows_the_log_of_what_has_ended(home, mongodb, capsys):
    record = mongodb.record()
    os.kill(record.pid, 9)
    os.waitpid(record.pid, 0)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("environment of the local target\n  [ OK ] Python ")
    assert "mongodb is ended: " in shown
    assert "    up\n    --\n  Hint: workshop run --only 04 starts it again" in shown
    assert "found\n" in shown


# --- a full disk ---------------------------------------------------------------------------------


@pytest.fixture
def disk(home):
    """A small disk, which is filled by calling this and has room again after a second call."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(home)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a disk")
    block = home / "block"

    def fill():
        if block.exists():
            block.unlink()
            return
        with block.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while True:
                stream.write(bytes(4096))

    yield fill
    subprocess.run(["umount", "--lazy", str(home)], check=True)


def test_what_runs_on_a_full_disk_can_be_stopped(disk, mongodb):
    disk()
    done = workshop("stop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped mongodb\n", "")
    assert mongodb.state() == "ended"
    # It could not be forgotten, and still it is not taken for an endpoint of the user's own.
    assert "\nmongodb  ended  http://127.0.0.1:27017  ended" in workshop("status").stdout
    disk()
    assert workshop("stop").stdout == "nothing was running\n"
    assert workshop("status").stdout.startswith("Nothing was started here yet.")


def test_a_run_on_a_full_disk_says_how_much_room_there_is(disk, home):
    (home / "local").mkdir()
    disk()
    done = workshop("run", "--only", "00")
    assert done.returncode == 1
    what, where, state, hint = done.stderr.splitlines()
    assert what == "The report could not be written."
    assert where.startswith(f"  Where: {home}/runs/20")
    assert state == "  Last state: No space left on device: 0.0 MB of 0.3 MB is free"
    assert hint.startswith("  Hint: free space on that disk, or set WORKSHOP_HOME to a folder")


def test_output_to_a_full_disk_is_one_clear_error(home):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "workshop.cli", "status"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert "A file could not be written." in done.stderr
    assert "Last state: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_runs_can_be_stopped_when_nothing_can_be_written(mongodb):
    def no_byte_more():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    # Measured, it would say that its coverage could not be written.
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    done = workshop("stop", preexec_fn=no_byte_more, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped mongodb\n", "")
    assert mongodb.state() == "ended"
