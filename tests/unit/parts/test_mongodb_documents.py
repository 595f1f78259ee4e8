"""The kit's documents in a real database: loaded once, restored, and never at others' cost."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from workshop import deploy_mongodb, load_sample_data, query_mongodb, verify_mongodb
from workshop.core.errors import CheckFailed, EndpointError, SettingsError, StepMissing
from workshop.core.secret import Secret
from workshop.parts.mongodb import connected, read_documents
from workshop.targets.base import Endpoint

pytestmark = pytest.mark.timeout(60)

COUNTS = {"services": 12, "incidents": 42, "alerts": 64}


def loaded(target):
    return {
        one.collection: (one.inserted, one.restored, one.unchanged, one.yours)
        for one in load_sample_data(target)
    }


@pytest.fixture
def reading(database_target, database):
    """The database as pymongo sees it; afterwards it is as it was, in the same order as well."""
    with connected(database) as found:
        yield found
        for name in found.list_collection_names():
            found.drop_collection(name)
    load_sample_data(database_target)


def test_loading_again_changes_nothing(database_target, reading):
    before = {name: list(reading[name].find()) for name in COUNTS}
    assert {name: len(found) for name, found in before.items()} == COUNTS
    assert loaded(database_target) == {name: (0, 0, count, 0) for name, count in COUNTS.items()}
    assert {name: list(reading[name].find()) for name in COUNTS} == before


def test_ones_own_documents_are_kept(database_target, reading):
    reading.incidents.insert_one({"_id": "MINE-1", "title": "Cat on keyboard"})
    reading.notes.insert_one({"text": "buy milk"})
    assert loaded(database_target)["incidents"] == (0, 0, 42, 1)
    assert reading.incidents.find_one("MINE-1")["title"] == "Cat on keyboard"
    assert reading.notes.count_documents({}) == 1


def test_documents_of_the_kit_are_restored(database_target, reading):
    title = reading.incidents.find_one("INC-007")["title"]
    reading.incidents.update_one({"_id": "INC-007"}, {"$set": {"title": "Nothing", "extra": 1}})
    reading.incidents.delete_many({"_id": {"$in": ["INC-001", "INC-002"]}})
    assert loaded(database_target)["incidents"] == (2, 1, 39, 0)
    restored = reading.incidents.find_one("INC-007")
    assert restored["title"] == title
    assert "extra" not in restored


def test_the_checkpoint_proves_it(database_target):
    checks = verify_mongodb(database_target)
    assert [(check.name, check.ok) for check in checks] == [
        ("has the services", True),
        ("has the incidents", True),
        ("has the alerts", True),
        ("has INC-001 as it was written", True),
        ("loading twice changes nothing", True),
        ("refuses without a password", True),
    ]


def test_a_person_may_ask_it_without_an_agent(database_target):
    (found,) = query_mongodb(database_target, "incidents", {"incident_id": "INC-007"})
    assert found["_id"] == "INC-007"
    assert query_mongodb(database_target, "incidents", {"incident_id": "none"}) == []


def test_the_checkpoint_names_what_is_missing(database_target, reading):
    reading.incidents.delete_one({"_id": "INC-001"})
    with pytest.raises(CheckFailed) as error:
        verify_mongodb(database_target)
    assert str(error.value) == (
        "MongoDB: 3 of 6 checks failed.\n"
        "  Last state: has the incidents: expected 42, saw 41; has INC-001 as it was written: "
        "expected Nobody can pay, saw None; loading twice changes nothing: expected 0 inserted, "
        "0 restored, saw 1 inserted, 0 restored\n"
        "  Hint: run 04_deploy_mongodb again: it loads what is missing"
    )


def test_a_wrong_password_is_refused_and_not_shown(database):
    wrong = replace(database, password=Secret("canary-5e1d"))
    with pytest.raises(EndpointError) as error, connected(wrong) as reading:
        reading.list_collection_names()
    assert error.value.kind == "unauthorized"
    first, where, state, hint = str(error.value).splitlines()
    assert first == "The database refused the user or password."
    assert where == f"  Where: {database.url}"
    assert "AuthenticationFailed" in state
    assert hint == (
        "  Hint: run 08_secure_the_network again if it was interrupted; else its data was made "
        "with another password: workshop stop mongodb, move its data folder away, and run "
        "04_deploy_mongodb again"
    )
    assert "canary" not in str(error.value)


def test_a_database_that_was_stopped(elsewhere, tmp_path):
    target = elsewhere(tmp_path)
    deployed = deploy_mongodb(target, timeout=60)
    assert target.stop() == ["mongodb"]
    with pytest.raises(StepMissing) as missing:
        load_sample_data(target)
    assert str(missing.value) == (
        "mongodb was not deployed yet, or was stopped.\n"
        "  Where: this checkout's local target\n"
        "  Hint: run 04_deploy_mongodb first"
    )
    with pytest.raises(EndpointError) as error, connected(deployed.endpoint) as reading:
        reading.incidents.count_documents({})
    assert error.value.kind == "refused"
    first, where, state, hint = str(error.value).splitlines()
    assert first == "The database does not answer."
    assert where == f"  Where: {deployed.endpoint.url}"
    assert "Connection refused" in state
    assert hint == "  Hint: run 04_deploy_mongodb again: it starts what has ended"


def test_a_killed_database_comes_back_with_its_data(elsewhere, tmp_path):
    target = elsewhere(tmp_path / "50%20 of #1: é?")
    try:
        first = deploy_mongodb(target, timeout=60)
        load_sample_data(target)
        with connected(first.endpoint) as reading:
            reading.incidents.insert_one({"_id": "MINE-1"})
        os.kill(target.process("mongodb").record().pid, signal.SIGKILL)
        again = deploy_mongodb(target, timeout=60)
        assert (again.action, again.endpoint) == ("restarted", first.endpoint)
        assert loaded(target) == {
            "services": (0, 0, 12, 0),
            "incidents": (0, 0, 42, 1),
            "alerts": (0, 0, 64, 0),
        }
    finally:
        target.stop()


def test_data_that_was_made_with_another_password(elsewhere, tmp_path):
    target = elsewhere(tmp_path)
    try:
        deploy_mongodb(target, timeout=60)
        target.stop()
        target.store.secrets_path.unlink()
        with pytest.raises(EndpointError, match=r"^The database refused the user or password\."):
            deploy_mongodb(target, timeout=60)
    finally:
        target.stop()


# --- files ---------------------------------------------------------------------------------------


def test_a_document_gets_its_id_from_its_own_field(tmp_path):
    path = tmp_path / "services.json"
    path.write_text('[{"name": "checkout", "tier": 1}]')
    assert read_documents(path, "name") == [{"_id": "checkout", "name": "checkout", "tier": 1}]


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (
            '[{"name": "a"},',
            "JSONDecodeError: Expecting value: line 1 column 16 (char 15)",
        ),
        ('[{"title": "a"}]', "KeyError: 'name'"),
        ("[1, 2]", "TypeError: 'int' object is not subscriptable"),
        ('{"name": "a"}', "TypeError: string indices must be integers, not 'str'"),
        (None, "FileNotFoundError: [Errno 2] No such file or directory: 'PATH'"),
    ],
    ids=["cut", "no id", "numbers", "one document", "no file"],
)
def test_a_damaged_file_is_named(tmp_path, content, state):
    path = tmp_path / "services.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError) as error:
        read_documents(path, "name")
    assert str(error.value) == (
        "The sample data cannot be read.\n"
        f"  Where: {path}\n"
        f"  Last state: {state.replace('PATH', str(path))}\n"
        "  Hint: each file is a list of documents with a unique name"
    )


def test_a_damaged_file_does_no_harm(database_target, reading, tmp_path):
    kit = Path(__file__).resolve().parents[3] / "data"
    for name in ("services", "incidents"):
        (tmp_path / f"{name}.json").write_text((kit / f"{name}.json").read_text())
    (tmp_path / "alerts.json").write_text("[")
    with pytest.raises(SettingsError, match=r"alerts\.json"):
        load_sample_data(database_target, tmp_path)
    assert {name: reading[name].count_documents({}) for name in COUNTS} == COUNTS


def test_the_password_stands_in_no_url_or_repr(database: Endpoint):
    assert database.password is not None
    password = database.password.reveal()
    assert len(password) >= 24
    assert password not in repr(database)
    assert password not in database.url
