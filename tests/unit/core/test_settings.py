"""What the environment says about a run, and every problem in it at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from workshop.core.errors import SettingsError
from workshop.core.secret import Secret
from workshop.core.settings import CHECKOUT, DATA, PATH_LISTS, PATHS, Settings, make_paths_absolute


def test_nothing_needs_to_be_set():
    settings = Settings.from_env({})
    assert settings == Settings()
    assert settings.state == CHECKOUT / ".workshop"
    assert settings.model_token is None
    assert settings.model_ca_file is None
    assert (CHECKOUT / "pyproject.toml").is_file()
    assert (DATA / "runbooks").is_dir()


def test_empty_variables_are_as_if_they_were_not_set():
    env = {"WORKSHOP_HOME": "", "MODEL_TOKEN": " ", "MODEL_CA_FILE": ""}
    assert Settings.from_env(env) == Settings()


def test_no_credential_of_the_user_s_is_forgotten_where_they_are_hidden():
    env = {"MODEL_TOKEN": "t0ken", "MILVUS_TOKEN": "root:Milvus"}
    assert Settings.from_env(env).secrets == [Secret("t0ken"), Secret("root:Milvus")]
    assert Settings.from_env({}).secrets == []


def test_what_is_set_is_used(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    settings = Settings.from_env(
        {"WORKSHOP_HOME": str(tmp_path), "MODEL_TOKEN": " t0ken\n", "MODEL_CA_FILE": str(ca)}
    )
    assert settings.state == tmp_path
    assert settings.lock == tmp_path / "local" / "lock"
    assert settings.model_token == Secret("t0ken")
    assert settings.model_ca_file == ca
    assert "t0ken" not in repr(settings)


def test_places_are_absolute_whatever_the_working_folder_is(tmp_path, monkeypatch):
    (tmp_path / "ca.pem").write_text("")
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_env({"WORKSHOP_HOME": "state", "MODEL_CA_FILE": "ca.pem"})
    assert settings.state == tmp_path / "state"
    assert settings.model_ca_file == tmp_path / "ca.pem"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.from_env({"WORKSHOP_HOME": "~/mine"}).state == tmp_path / "mine"


def test_all_problems_are_listed_at_once(tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("")
    env = {
        "WORKSHOP_HOME": str(notes),
        "MODEL_TOKEN": "canary with\nspaces",
        "MODEL_CA_FILE": str(tmp_path),
    }
    with pytest.raises(SettingsError) as error:
        Settings.from_env(env)
    assert str(error.value) == (
        "The environment cannot be used.\n"
        f"  Last state: WORKSHOP_HOME={notes} is not a folder; "
        f"MODEL_CA_FILE={tmp_path} is not a file; "
        "MODEL_TOKEN contains a space, a line break or a letter beyond ASCII\n"
        "  Hint: correct or unset these variables"
    )


@pytest.mark.parametrize("token", ["a b", "a\tb", "a\nb", "schl\u00fcssel", "a\x7f"])
def test_a_token_that_no_header_takes_is_refused_here(token):
    with pytest.raises(SettingsError) as error:
        Settings.from_env({"MODEL_TOKEN": token})
    assert token not in str(error.value)


def test_the_environment_is_read_when_asked(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    assert Settings.from_env().state == Path(tmp_path)


# --- paths in variables --------------------------------------------------------------------------

SHOW = """\
import json, os, sys
from workshop import connect
print(json.dumps([str(connect().settings.state), {n: os.environ[n] for n in sys.argv[1:]}]))
"""


def test_a_relative_path_is_taken_from_the_checkout_in_a_kernel_that_no_command_has_started():
    relative = {name: f"x/{name}" for name in (*PATHS, *PATH_LISTS)}
    relative |= {"KUBECONFIG": "a:/b::c", "MODEL_CA_FILE": "README.md"}
    # As a notebook server starts it: beside its notebook.
    shown = subprocess.run(
        [sys.executable, "-c", SHOW, *relative],
        cwd=CHECKOUT / "notebooks",
        env=os.environ | relative,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    state, paths = json.loads(shown)
    assert state == f"{CHECKOUT}/x/WORKSHOP_HOME"
    assert paths.pop("KUBECONFIG") == f"{CHECKOUT}/a:/b::{CHECKOUT}/c"
    assert paths == {name: f"{CHECKOUT}/{relative[name]}" for name in paths}


def test_a_path_may_hold_a_colon_or_an_unknown_user():
    env = {"WORKSHOP_HOME": "cs101:spring", "KUBECONFIG": "~nobody-of-that-name/k"}
    make_paths_absolute(Path("/base"), env)
    assert env == {
        "WORKSHOP_HOME": "/base/cs101:spring",
        "KUBECONFIG": "/base/~nobody-of-that-name/k",
    }


# --- the library of another checkout -------------------------------------------------------------


@pytest.fixture
def copied(tmp_path):
    """A checkout as ``cp -a`` leaves it: its .venv leads to the library of the first one."""
    copy = tmp_path / "b"
    shutil.copytree(CHECKOUT / "lib", copy / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / ".venv" / "bin").mkdir(parents=True)
    (copy / "notebooks").mkdir()
    # Not shutil.copy: its first line names the Python of the first one, as a real copy's does.
    script = copy / ".venv" / "bin" / "workshop"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nfrom workshop.cli import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    return copy


def refused(copy):
    return (
        "The library of another checkout is used here.\n"
        f"  Where: {copy}\n"
        f"  Last state: it belongs to {CHECKOUT}, as a .venv that was copied from there does\n"
        f"  Hint: cd {copy} && ./bootstrap; then use .venv/bin/workshop of that folder\n"
    )


@pytest.mark.parametrize(
    "command", ["run --only 98", "status", "stop", "setup --only uv", "logs model"]
)
@pytest.mark.parametrize("inside", [True, False])
def test_a_copied_checkout_does_not_work_on_the_first_one(copied, tmp_path, command, inside):
    mine = copied / ".venv" / "bin" / "workshop"
    # With the copied activate script, it is the first one's command that is found on PATH.
    argv = [sys.executable, "-m", "workshop.cli"] if inside else [str(mine)]
    done = subprocess.run(
        [*argv, *command.split()],
        cwd=copied / "notebooks" if inside else tmp_path,
        env=os.environ | {"WORKSHOP_HOME": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", refused(copied))


def test_nor_do_its_notebooks(copied):
    done = subprocess.run(
        [sys.executable, "-c", "import workshop; workshop.connect()"],
        cwd=copied / "notebooks",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.endswith("SettingsError: " + refused(copied))
