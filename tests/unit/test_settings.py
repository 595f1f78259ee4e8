"""What the environment says about a run, and every problem in it at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from workshop.errors import SettingsError
from workshop.masked import Secret
from workshop.settings import CHECKOUT, DATA, Settings


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


def test_what_is_set_is_used(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    settings = Settings.from_env(
        {"WORKSHOP_HOME": str(tmp_path), "MODEL_TOKEN": " t0ken\n", "MODEL_CA_FILE": str(ca)}
    )
    assert settings.state == tmp_path
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
        "MODEL_TOKEN holds a space, a line break or a letter beyond ASCII\n"
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
