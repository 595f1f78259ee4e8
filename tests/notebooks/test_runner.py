"""The runner: real notebooks, executed by the real papermill in real kernels."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from workshop.cli import main
from workshop.core.checks import MIME as CHECKS
from workshop.core.wait import NotYet, wait_for
from workshop.report.page import quick, unlink, write_notebook
from workshop.run.steps import Step
from workshop.targets.local.store import Store

pytestmark = pytest.mark.timeout(180)

SEQUENCE = Path(__file__).parent / "sequence"

IMPORTS = """\
from workshop.agent.answer import Answer, ToolCall
from workshop.core.checks import Checks
from workshop.core.errors import PartFailed
from workshop.core.progress import stages
"""
GOOD = 'checks = Checks("Part")\nchecks.equal("a sum", 4, lambda: 2 + 2)\nchecks.raise_if_failed()'
ASLEEP = """\
import threading
with stages("Sleeper") as stage:
    stage("asleep")
    threading.Event().wait(100)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("WORKSHOP_HOME", str(folder))
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a notebook; gives its folder."""
    folder = tmp_path / "notebooks {of a test}"
    folder.mkdir()

    def notebook(name: str, *cells: str, parameters: str = 'TARGET = "local"') -> Path:
        content = [_cell(parameters, "parameters"), *(_cell(cell) for cell in (IMPORTS, *cells))]
        metadata = {"kernelspec": {"display_name": "x", "language": "python", "name": "python3"}}
        body = {"cells": content, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
        (folder / f"{name}.ipynb").write_text(json.dumps(body))
        return folder

    return notebook


def _cell(source: str, *tags: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "metadata": {"tags": list(tags)},
        "execution_count": None,
        "outputs": [],
        "source": source,
    }


def run(folder: Path, *more: str) -> int:
    return main(["run", "--notebooks", str(folder), *more])


def report(home: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((home / "runs" / "latest" / "report.json").read_text())
    return content


def statuses(home: Path) -> dict[str, str]:
    return {step["notebook"][:2]: step["status"] for step in report(home)["steps"]}


@pytest.fixture
def child(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a run as a program of its own, and return when its notebook says that it is asleep."""
    children: list[subprocess.Popen[str]] = []

    def start(folder: Path, *more: str, until: str = "asleep") -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "workshop.cli", "run", "--notebooks", str(folder)]
        process = subprocess.Popen(
            [*command, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "WORKSHOP_HOME": str(home)},
        )
        children.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if until in line:
                break
        return process

    yield start
    for process in children:
        family = _family(process)
        process.kill()
        process.communicate()
        psutil.wait_procs(family, timeout=10)
        for left in family:
            if left.is_running():
                left.kill()


def _family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


# --- a good run ----------------------------------------------------------------------------------


def test_a_run_passes_and_its_report_says_so(home, capsys):
    before = datetime.now().astimezone()
    assert run(SEQUENCE, "--clean-up", "-p", "TIMEOUT_SECONDS=77", "-p", "MODEL_NAME=7b") == 0
    folder = (home / "runs" / "latest").resolve()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", folder.name)

    content = report(home)
    assert list(content) == [
        *("schema", "target", "started", "seconds", "status", "steps", "answers", "plots")
    ]
    assert content["schema"] == 1
    assert content["target"] == "local"
    started = datetime.fromisoformat(content["started"])
    assert started.tzinfo is not None
    assert abs((started - before).total_seconds()) < 5
    assert content["status"] == "passed"
    assert 0 < content["seconds"] < 100
    names = [path.stem for path in sorted(SEQUENCE.glob("*.ipynb"))]
    assert [step["notebook"] for step in content["steps"]] == names
    for step in content["steps"]:
        assert list(step) == ["notebook", "status", "seconds", "reason", "checks"]
        assert isinstance(step["seconds"], float)
        for check in step["checks"]:
            assert list(check) == ["name", "ok", "expected", "seen", "seconds"]
            assert check["ok"] is True
            assert isinstance(check["seconds"], float)
    by_number = {step["notebook"][:2]: step for step in content["steps"]}
    assert {number: step["status"] for number, step in by_number.items()} == {
        "00": "passed",
        "01": "skipped",
        "04": "passed",
        "07": "passed",
        "99": "passed",
    }
    assert by_number["00"]["reason"] is None
    assert by_number["01"]["reason"] == "the local target adds no machines"
    assert by_number["00"]["checks"][1]["seen"] == "77"
    assert sum(step["seconds"] for step in content["steps"]) <= content["seconds"]
    assert content["answers"] == [
        {
            "question": "How many incidents are there?",
            "text": "There are 40.",
            "seconds": 1.5,
            "grounded": True,
            "tool_calls": [{"name": "count", "arguments": {"database": "mcp_demo"}, "ok": True}],
        }
    ]

    for name in names:
        executed = json.loads((folder / f"{name}.ipynb").read_text())
        counts = [c["execution_count"] for c in executed["cells"] if c["cell_type"] == "code"]
        assert all(counts)
        page = (folder / f"{name}.html").read_text()
        assert "application/vnd" not in page
        # It needs nothing from the network, and may fetch nothing.
        assert "http:" not in page
        assert "https:" not in page
        assert "default-src 'none'" in page
    page = (folder / "index.html").read_text()
    assert all(f'href="{name}.html"' in page for name in names)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]

    said = capsys.readouterr().out
    assert "workshop run: 5 steps on the local target" in said
    assert "[ OK ] a time limit: 77" in said
    assert "waiting for nothing: first" in said
    assert "waiting for nothing: second" not in said
    assert "skipped: the local target adds no machines" in said
    assert "(TARGET='local', MODEL_NAME='7b')" in said
    assert re.search(r"00_check_environment +passed +\d+\.\d +2/2\n", said)
    assert "answers: 1 of 1 grounded" in said
    assert re.search(r"The run passed after \d+\.\d s\. Report: .*/index\.html\n", said)
    assert "\x1b" not in said


def test_what_a_notebook_registers_for_its_end_is_done(home, write, tmp_path):
    left = tmp_path / "left"
    left.mkdir()
    cell = f"import atexit, pathlib\natexit.register(pathlib.Path({str(left)!r}).rmdir)"
    assert run(write("02_a", cell, GOOD)) == 0
    wait_for("the folder to go", lambda: not left.exists() or NotYet("there"), timeout=20)


def test_an_optional_part_can_be_left_out(home, capsys):
    assert run(SEQUENCE, "--without", "mongodb") == 0
    steps = {step["notebook"][:2]: step for step in report(home)["steps"]}
    assert list(steps) == ["00", "01", "04", "07"]
    assert steps["04"]["status"] == "skipped"
    assert steps["04"]["reason"] == "started with --without mongodb"
    assert not (home / "runs" / "latest" / "04_deploy_mongodb.ipynb").exists()
    assert report(home)["answers"][0]["tool_calls"][0]["name"] == "file_search"
    assert "skipped: started with --without mongodb" in capsys.readouterr().out


def test_a_notebook_runs_in_its_folder_with_this_python(home, write, tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    broken = {"argv": ["/bin/false"], "display_name": "another", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(broken))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    folder = write(
        "00_where",
        "import sys, pathlib",
        f'checks = Checks("Kernel")\n'
        f'checks.equal("python", {sys.executable!r}, lambda: sys.executable)\n'
        'checks.that("folder", "here", lambda: pathlib.Path("00_where.ipynb").exists())\n'
        "checks.raise_if_failed()",
    )
    assert run(folder) == 0


@pytest.fixture
def kernel() -> Iterator[Any]:
    with quick():
        from workshop.run.kernels import Kernel

        kernel = Kernel(SEQUENCE)
    yield kernel
    kernel.end()
    assert kernel.process.poll() is not None
    assert not kernel.log.parent.exists()


def execute(kernel: Any, **options: Any) -> Any:
    with quick():
        from workshop.run import engine

        step = Step(SEQUENCE / "04_deploy_mongodb.ipynb")
        return engine.execute(step, kernel, save=str, **options)


def test_a_kernel_and_its_private_files_end_with_it(kernel):
    assert kernel.log.parent.stat().st_mode & 0o777 == 0o700
    shown: list[Any] = []
    assert execute(kernel, show=shown.append)[1] is None
    assert shown
    assert kernel.process.poll() == 0


def test_a_kernel_that_no_notebook_needed_ends_too(kernel):
    assert kernel.process.poll() is None


def test_what_is_interrupted_between_two_cells_goes_no_further(kernel):
    notebook, failure = execute(kernel, show=str, stopped=lambda: True)
    assert failure.reason == "interrupted"
    assert not [cell for cell in notebook.cells if cell.get("outputs")]


def test_what_an_earlier_session_left_in_a_notebook_does_not_count(home, write):
    folder = write("02_stale", "1 / 0", GOOD)
    path = folder / "02_stale.ipynb"
    content = json.loads(path.read_text())
    check = {"name": "old", "ok": True, "expected": "", "seen": "", "seconds": 0.0}
    data = {CHECKS: {"subject": "Part", "skipped": "", "checks": [check]}}
    content["cells"][-1]["outputs"] = [
        {"output_type": "display_data", "metadata": {}, "data": data}
    ]
    path.write_text(json.dumps(content))
    assert run(folder) == 1
    assert report(home)["steps"][0]["checks"] == []


def test_a_relative_home_is_one_folder_for_the_command_and_its_notebooks(
    write, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKSHOP_HOME", ".state")
    monkeypatch.setenv("KUBECONFIG", "mine.yaml:/theirs.yaml")
    keep = (
        "import os\nfrom workshop import connect\n"
        'connect().store.remember("kubeconfig", os.environ["KUBECONFIG"])'
    )
    notebooks = write("01_keep", keep, GOOD)
    assert run(notebooks) == 0
    assert statuses(tmp_path / ".state") == {"01": "passed"}
    kept = Store(tmp_path / ".state").recall("kubeconfig")
    assert kept == f"{tmp_path}/mine.yaml:/theirs.yaml"
    assert [path.name for path in notebooks.iterdir()] == ["01_keep.ipynb"]


# --- steps that fail -----------------------------------------------------------------------------


def test_a_failed_check_stops_the_run_and_stays_in_the_report(home, write, capsys):
    folder = write(
        "02_broken",
        'checks = Checks("Part")\nchecks.equal("right", 1, lambda: 1)\n'
        'checks.equal("wrong", 1, lambda: 2, hint="count again")\nchecks.raise_if_failed()',
    )
    write("03_later", GOOD)
    write("99_clean_up", GOOD)
    assert run(folder, "--clean-up") == 1
    assert statuses(home) == {"02": "failed", "03": "not run", "99": "passed"}
    content = report(home)
    assert content["status"] == "failed"
    broken, later, _ = content["steps"]
    assert broken["reason"] == (
        "Part: 1 of 2 checks failed.\n  Last state: wrong: expected 1, saw 2\n  Hint: count again"
    )
    assert [check["ok"] for check in broken["checks"]] == [True, False]
    assert later["reason"] == "02_broken failed"
    said = capsys.readouterr().out
    assert "[FAIL] wrong: 2" in said
    assert "02_broken failed\n  Part: 1 of 2 checks failed.\n    Last state: wrong" in said
    assert re.search(r"the notebook up to this failure: .*/02_broken\.ipynb\n", said)
    assert re.search(r"03_later +not run +- +-  02_broken failed\n", said)


def test_an_error_of_the_kit_shows_its_log_and_hint_without_a_traceback(home, write, capsys):
    folder = write(
        "02_broken",
        'raise PartFailed("The model ended.", log=["out of memory"], hint="workshop logs model")',
    )
    assert run(folder) == 1
    assert report(home)["steps"][0]["reason"] == (
        "The model ended.\n  Last log lines:\n    out of memory\n  Hint: workshop logs model"
    )
    said = capsys.readouterr().out
    assert "    out of memory" in said
    assert "Traceback" not in said


def test_any_other_error_shows_where_it_came_from(home, write, capsys):
    assert run(write("02_broken", "1 / 0")) == 1
    assert report(home)["steps"][0]["reason"] == "ZeroDivisionError: division by zero"
    said = capsys.readouterr().out
    assert "| ----> 1 1 / 0" in said
    assert "\x1b" not in said


ANSWER = 'Answer("How many?", "40", 1.0, ({calls}), {grounded}, "counted")'
CALL = 'ToolCall("count", {}, ok=True, result="40"),'


def test_answers_without_their_proof_are_no_success(home, write):
    """What else is none: tests/unit/report/test_report.py."""
    untold, wrong = (
        ANSWER.format(calls="", grounded=True),
        ANSWER.format(calls=CALL, grounded=False),
    )
    assert run(write("07_ask_the_agent", untold, wrong, GOOD)) == 1
    step = report(home)["steps"][0]
    assert (step["status"], step["reason"]) == (
        "failed",
        "no tool was called for 'How many?'; not grounded: 'How many?'",
    )
    assert len(step["checks"]) == 1
    assert report(home)["status"] == "failed"


# --- a kernel that ends --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9"),
        ("os.write(2, b'no memory left\\n'); os._exit(3)", "exit code 3"),
    ],
)
def test_a_kernel_that_ends_fails_its_step_at_once(home, write, capsys, end, how):
    folder = write("03_dies", GOOD, f"import os, signal\n{end}", "never = 1")
    write("99_clean_up", GOOD)
    began = time.monotonic()
    assert run(folder, "--clean-up") == 1
    assert time.monotonic() - began < 60
    assert statuses(home) == {"03": "failed", "99": "passed"}
    dead = report(home)["steps"][0]
    assert dead["reason"].startswith(f"the kernel of 03 ended ({how})")
    assert dead["reason"].endswith("Hint: is there memory left? workshop doctor")
    assert ("no memory left" in dead["reason"]) == (how == "exit code 3")
    # What it had checked before is kept.
    assert [check["name"] for check in dead["checks"]] == ["a sum"]
    assert f"the kernel of 03 ended ({how})" in capsys.readouterr().out


# --- Ctrl-C, and a runner that is killed ---------------------------------------------------------


def test_ctrl_c_ends_the_step_and_still_cleans_up(home, write, child):
    folder = write("02_sleeps", GOOD, ASLEEP, "never = 1")
    write("03_later", GOOD)
    write("99_clean_up", GOOD)
    process = child(folder, "--clean-up")
    family = _family(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert err == ""
    assert statuses(home) == {"02": "failed", "03": "not run", "99": "passed"}
    interrupted = report(home)["steps"][0]
    assert interrupted["reason"] == "interrupted"
    assert [check["name"] for check in interrupted["checks"]] == ["a sum"]
    assert "stopping this cell: Ctrl-C again ends its kernel at once" in out
    assert "Sleeper" in (home / "runs" / "latest" / "02_sleeps.ipynb").read_text()
    assert (home / "runs" / "latest" / "index.html").exists()
    assert psutil.wait_procs(family, timeout=10)[1] == []


def test_a_second_ctrl_c_ends_a_kernel_that_does_not_listen(home, write, child):
    deaf = """\
import time
with stages("Sleeper") as stage:
    stage("asleep")
    while True:
        try:
            threading.Event().wait(100)
        except KeyboardInterrupt:
            stage("ignored")
"""
    process = child(write("02_deaf", "import threading", deaf))
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    for line in process.stdout:
        if "ignored" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=100)
    assert process.returncode == 130
    assert report(home)["steps"][0]["reason"] == "interrupted"


def test_a_runner_that_is_killed_leaves_a_valid_report_and_no_process(home, write, child):
    folder = write("00_done", GOOD)
    write("02_sleeps", ASLEEP)
    process = child(folder)
    family = _family(process)
    assert family
    process.kill()
    process.wait()
    assert statuses(home) == {"00": "passed", "02": "not run"}
    assert report(home)["status"] == "failed"
    assert psutil.wait_procs(family, timeout=30)[1] == []


def test_two_runs_at_once(home, write, child, capsys):
    process = child(write("02_sleeps", ASLEEP))
    assert run(SEQUENCE) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Another run uses this folder.\n")
    assert f"Last state: workshop run (pid {process.pid}), since " in said.err
    assert f"Hint: wait for it, or stop it: kill {process.pid}" in said.err
    assert main(["stop"]) == 1
    # The hint works, and the report says what happened.
    process.terminate()
    process.communicate(timeout=100)
    assert process.returncode == 130
    assert report(home)["steps"][0]["reason"] == "interrupted"
    assert run(SEQUENCE, "--only", "00") == 0


# --- credentials ---------------------------------------------------------------------------------


def test_no_credential_is_in_any_file_of_a_run(home, write, capsys, monkeypatch):
    canary, token = "canary-2f7d/&\"+x'y", "user-token-91a4"
    Store(home).secret("mongodb/password", lambda: canary)
    monkeypatch.setenv("MODEL_TOKEN", token)
    folder = write(
        "02_leaks",
        "import os\nfrom html import escape\nfrom pathlib import Path",
        "from workshop.targets.local.store import Store",
        'known = Store(Path(os.environ["WORKSHOP_HOME"])).secret("mongodb/password", str).reveal()',
        'late = "-".join(["late", known[:6]])\n'
        'Store(Path(os.environ["WORKSHOP_HOME"])).secret("made now", lambda: late)',
        'token = os.environ["MODEL_TOKEN"]\nprint(known, token, late, {known: [known]})',
        "from IPython.display import HTML\nHTML(escape(known))",
        'with stages("Part") as stage:\n    stage(f"using {token}")',
        'call = ToolCall("find", {known: known}, ok=True, result=known)',
        "Answer(known, token, 1.0, (call,), True, known)",
        "checks = Checks(known)\nchecks.equal(token, token, lambda: known)\n"
        "checks.raise_if_failed()",
    )
    assert run(folder) == 1
    run_folder = (home / "runs" / "latest").resolve()
    files = {path.name for path in run_folder.iterdir()}
    assert files == {"02_leaks.ipynb", "02_leaks.html", "report.json", "index.html"}
    said = capsys.readouterr()
    texts = {path.name: path.read_text() for path in run_folder.iterdir()}
    for name, text in (texts | {"stdout": said.out, "stderr": said.err}).items():
        assert "canary" not in text, name
        assert token not in text, name
        if name != "stderr":
            assert "****" in text, name


# --- pages ---------------------------------------------------------------------------------------


def test_a_page_that_cannot_be_made_costs_the_others_nothing(home, write, capsys):
    latest = 'Path(os.environ["WORKSHOP_HOME"], "runs", "latest")'
    in_the_way = f'import os\nfrom pathlib import Path\n({latest} / "02_a.html").mkdir()'
    folder = write("02_a", in_the_way, GOOD)
    write("03_b", GOOD)
    assert run(folder) == 0
    said = capsys.readouterr().out
    assert "  no page could be made from 02_a.ipynb: open the notebook itself\n" in said
    assert "03_b.ipynb: open" not in said
    index = (home / "runs" / "latest" / "index.html").read_text()
    assert 'href="03_b.html"' in index
    assert 'href="02_a.html"' not in index


def test_from_page_to_page(tmp_path):
    notebook = tmp_path / "00_good.ipynb"
    text = "[next](01_next.ipynb), [Contents](../README.md), [end](99_end.ipynb)"
    cell = {"cell_type": "markdown", "metadata": {}, "source": text}
    body = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    notebook.write_text(json.dumps(body))
    assert write_notebook(notebook) == "00_good.html"
    (tmp_path / "01_next.html").touch()
    unlink(tmp_path, ["00_good.html", "01_next.html"])
    page = (tmp_path / "00_good.html").read_text()
    assert 'href="01_next.html"' in page
    # What does not lie beside the page is no link.
    assert "</a>, Contents, end</p>" in page


def test_a_picture_comes_along(home, write):
    folder = write("00_good", GOOD)
    (folder.parent / "where.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    path = folder / "00_good.ipynb"
    body = json.loads(path.read_text())
    text = "![where](../where.svg) ![nowhere](../nowhere.svg)"
    body["cells"].insert(0, {"cell_type": "markdown", "metadata": {}, "source": text})
    path.write_text(json.dumps(body))
    assert run(folder) == 0
    latest = home / "runs" / "latest"
    shown = json.loads((latest / "00_good.ipynb").read_text())["cells"][0]
    assert "".join(shown["source"]) == "![where](attachment:where.svg) ![nowhere](../nowhere.svg)"
    assert list(shown["attachments"]) == ["where.svg"]
    assert 'src="data:image/svg+xml;base64,' in (latest / "00_good.html").read_text()
