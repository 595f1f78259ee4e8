"""What one notebook leaves for the next."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from workshop.core import files
from workshop.core.errors import StepMissing, WorkshopError
from workshop.core.secret import Secret
from workshop.core.settings import Settings
from workshop.targets.base import Endpoint
from workshop.targets.local.store import Store

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def state(tmp_path: Path) -> Store:
    return Store(tmp_path / ".workshop")


def again(state: Store) -> Store:
    """As the next notebook sees it."""
    return Store(state.root)


def test_nothing_is_written_by_looking(state):
    assert state.secrets() == []
    assert state.recall("vector store") is None
    assert state.endpoint("model") is None
    assert not state.root.exists()


def test_a_secret_is_made_once_and_only_this_user_can_read_it(state):
    made = state.secret("model token", lambda: "first")
    assert made == Secret("first")
    assert again(state).secret("model token", lambda: pytest.fail("made twice")) == made
    assert again(state).secrets() == [made]
    assert stat.S_IMODE(state.secrets_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.local.stat().st_mode) == 0o700


def test_a_folder_that_others_could_read_is_closed(state):
    state.local.mkdir(parents=True, mode=0o755)
    state.local.chmod(0o755)
    state.secret("model token", lambda: "first")
    assert stat.S_IMODE(state.local.stat().st_mode) == 0o700


def test_an_empty_secret_is_not_kept(state):
    with pytest.raises(ValueError, match="a secret must not be empty"):
        state.secret("model token", str)
    assert state.secrets() == []


def test_a_credential_is_made_anew_once_and_the_old_one_kept_until_it_is_retired(state):
    state.secret("model token", lambda: "first")
    old = state.renew("model", "model token", lambda: "second")
    assert old == Secret("first")
    # As after an interruption: what was begun goes on, and no third is made.
    assert again(state).renew("model", "model token", lambda: pytest.fail("made twice")) == old
    assert again(state).secret("model token", lambda: "never") == Secret("second")
    assert set(again(state).secrets()) == {Secret("first"), Secret("second")}
    state.retire("model token")
    assert again(state).secrets() == [Secret("second")]
    state.retire("model token")
    assert state.renew("model", "model token", lambda: "third") == Secret("second")


def test_what_was_never_made_is_not_made_anew(state):
    with pytest.raises(StepMissing) as missing:
        state.renew("model", "model token", lambda: "first")
    assert str(missing.value) == "There is no model token yet.\n  Hint: run 02 to 05 first"
    assert state.secrets() == []


def test_two_processes_agree_on_a_secret(state):
    ask = """
import sys, secrets
from pathlib import Path
from workshop.targets.local.store import Store
sys.stdin.readline()
state = Store(Path(sys.argv[1]))
for number in range(20):
    sys.stdout.write(state.secret(f"s{number}", secrets.token_urlsafe).reveal() + " ")
    state.remember(f"fact of {sys.argv[2]} {number}", "x")
"""
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", ask, state.root, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for asker in askers:
        asker.stdin.write("go\n")
        asker.stdin.flush()
    answers = [asker.communicate()[0].split() for asker in askers]
    assert answers[0] == answers[1] == answers[2]
    assert len(set(answers[0])) == 20
    facts = json.loads(state.facts_path.read_text())["facts"]
    assert len(facts) == 60


def test_facts_are_kept_and_forgotten(state):
    state.remember("vector store", "vs_1")
    state.remember("server", "ogx")
    assert again(state).recall("vector store") == "vs_1"
    state.remember("vector store", None)
    assert again(state).recall("vector store") is None
    assert again(state).recall("server") == "ogx"
    state.remember("never kept", None)


def test_an_endpoint_comes_back_whole_and_its_credentials_lie_apart(state, tmp_path):
    saved = Endpoint(
        "https://127.0.0.1:27017",
        token=Secret("t0ken"),
        user="agent",
        password=Secret("passw0rd"),
        ca_file=tmp_path / "ca.crt",
        also={"monitoring": "http://127.0.0.1:3001"},
    )
    state.save_endpoint("mongodb", saved)
    assert again(state).endpoint("mongodb") == saved
    assert set(again(state).secrets()) == {Secret("t0ken"), Secret("passw0rd")}
    assert "t0ken" not in state.facts_path.read_text()
    assert "passw0rd" not in state.facts_path.read_text()


def test_an_endpoint_without_credentials_forgets_those_before(state):
    state.save_endpoint("model", Endpoint("http://127.0.0.1:8080", token=Secret("t0ken")))
    state.save_endpoint("model", Endpoint("http://127.0.0.1:8080"))
    assert state.endpoint("model") == Endpoint("http://127.0.0.1:8080")
    assert state.secrets() == []


def test_forgetting_an_endpoint_leaves_the_rest(state):
    state.remember("server", "ogx")
    state.secret("model token", lambda: "made")
    state.save_endpoint("model", Endpoint("http://127.0.0.1:8080", token=Secret("t0ken")))
    state.save_endpoint("mongodb", Endpoint("mongodb://127.0.0.1:27017"))
    state.forget("model")
    assert state.endpoint("model") is None
    assert state.endpoint("mongodb") is not None
    assert state.recall("server") == "ogx"
    assert state.secrets() == [Secret("made")]
    state.forget("never kept")


def test_parts_have_their_folders_there(state):
    assert state.folder("model") == state.root / "local" / "model"
    assert Settings(state.root).lock == state.root / "local" / "lock"


SECRETS_HINT = (
    "workshop stop, then move this file away: notebooks 02 to 05 make their credentials again"
)
FACTS_HINT = "move this file away, and run the notebooks again from 02 on: what runs is reused"


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ('{"model token": "hunter2', "JSONDecodeError: Unterminated string starting at: line 1"),
        ("", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        ('["hunter2"]', "it holds a list, not an object"),
        ('{"model token": 2}', "a value is not a text or is empty"),
        (b"hunter2\xff", "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 7"),
    ],
)
def test_damaged_secrets_are_one_clear_error(state, content, seen):
    state.secret("model token", lambda: "hunter2")
    state.secrets_path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for use in (state.secrets, lambda: state.secret("model token", lambda: "new")):
        with pytest.raises(WorkshopError) as error:
            use()
        assert "hunter2" not in str(error.value)
        lines = str(error.value).split("\n")
        assert lines[0] == "A file of this checkout's state is damaged."
        assert lines[1] == f"  Where: {state.secrets_path}"
        assert lines[2].startswith(f"  Last state: {seen}")
        assert lines[3] == f"  Hint: {SECRETS_HINT}"
    # What the hint says.
    state.secrets_path.rename(state.secrets_path.with_suffix(".broken"))
    assert state.secret("model token", lambda: "new") == Secret("new")


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ("{", "JSONDecodeError: "),
        ('{"facts": []}', "not as written"),
        ('{"endpoints": {"model": {"url": "x"}}}', "the endpoint of model lacks 'credentials'"),
    ],
)
def test_damaged_facts_are_one_clear_error(state, content, seen):
    state.remember("server", "ogx")
    state.facts_path.write_text(content)
    with pytest.raises(WorkshopError) as error:
        state.endpoint("model")
    lines = str(error.value).split("\n")
    assert lines[1] == f"  Where: {state.facts_path}"
    assert lines[2].startswith(f"  Last state: {seen}")
    assert lines[3] == f"  Hint: {FACTS_HINT}"


def test_an_endpoint_whose_credential_is_gone_is_not_given_without_it(state):
    state.save_endpoint("model", Endpoint("http://127.0.0.1:8080", token=Secret("t0ken")))
    state.secrets_path.unlink()
    with pytest.raises(WorkshopError, match="the endpoint of model lacks 'model/token'"):
        state.endpoint("model")


def test_a_write_that_fails_leaves_the_old_file_and_no_other(state):
    state.remember("server", "ogx")
    with pytest.raises(TypeError):
        files.write_json(state.facts_path, {"facts": object()})
    assert state.recall("server") == "ogx"
    names = [".gitignore", "facts.json", "place.json", "state.lock"]
    assert sorted(path.name for path in state.local.iterdir()) == names


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / ".workshop").write_text("a file")
    with pytest.raises(WorkshopError) as error:
        Store(tmp_path / ".workshop").remember("server", "ogx")
    assert str(error.value) == (
        "This checkout's state could not be written.\n"
        f"  Where: {tmp_path}/.workshop/local\n"
        "  Last state: Not a directory\n"
        "  Hint: free space on that disk, or set WORKSHOP_HOME to a folder that you can write to"
    )
