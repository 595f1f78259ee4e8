"""Documents that are copied, and a database that is started again: on real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import workshop
from workshop.core.errors import SettingsError
from workshop.core.progress import stages
from workshop.core.settings import Settings
from workshop.operate import replicas
from workshop.parts import mongodb
from workshop.parts.catalog import ALL
from workshop.setup import locate
from workshop.targets.base import Endpoint, Scale
from workshop.targets.local.target import LocalTarget

COUNTS = {"alerts": 64, "incidents": 42, "services": 12}


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalTarget, LocalTarget]]:
    """Two databases, the first with the sample data."""
    pair = [
        LocalTarget(Settings(state=tmp_path_factory.mktemp(name) / "local"), ALL)
        for name in ("one", "two")
    ]
    try:
        for target in pair:
            workshop.deploy_mongodb(target)
        workshop.load_sample_data(pair[0])
        yield pair[0], pair[1]
    finally:
        for target in pair:
            target.clean_up(data=True)


def both(targets: tuple[LocalTarget, LocalTarget]) -> tuple[Endpoint, Endpoint]:
    return targets[0].find("mongodb"), targets[1].find("mongodb")


def test_every_document_is_copied_and_twice_changes_nothing(
    targets: tuple[LocalTarget, LocalTarget],
) -> None:
    old, new = both(targets)
    for _ in range(2):
        kept = replicas.copy(old, new)
        assert {one.collection: one.after for one in kept} == COUNTS
        assert all(one.same and one.before == one.after for one in kept)


def test_what_is_other_or_too_much_in_the_copy_is_seen_and_fixed(
    targets: tuple[LocalTarget, LocalTarget],
) -> None:
    old, new = both(targets)
    replicas.copy(old, new)
    with mongodb.connected(new) as database:
        database.incidents.update_one({}, {"$set": {"title": "another"}})
        database.alerts.insert_one({"_id": "mine"})
    found = replicas.compared(replicas.fingerprints(old), replicas.fingerprints(new))
    assert [one.same for one in found] == [False, False, True]
    assert [one.after for one in found] == [65, 42, 12]
    assert all(one.same for one in replicas.copy(old, new))


def test_an_index_comes_along(targets: tuple[LocalTarget, LocalTarget]) -> None:
    old, new = both(targets)
    with mongodb.connected(old) as database:
        database.alerts.create_index([("service", 1), ("state", -1)], name="by service")
    replicas.copy(old, new)
    with mongodb.connected(new) as database:
        index = database.alerts.index_information()["by service"]
    assert [(name, int(order)) for name, order in index["key"]] == [("service", 1), ("state", -1)]


@pytest.mark.skipif(locate("mongodb").name != "ferretdb", reason="a real mongod runs here")
def test_a_server_without_replica_sets_says_so(targets: tuple[LocalTarget, LocalTarget]) -> None:
    reason = replicas.replica_set_reason(targets[0].find("mongodb"))
    assert reason
    assert reason.startswith("this server has no replica sets: ")
    assert "replSetGetStatus" in reason


def test_on_one_machine_nothing_is_migrated(targets: tuple[LocalTarget, LocalTarget]) -> None:
    assert list(workshop.migrate_mongodb(targets[0])) == []
    assert targets[0].store.recall(mongodb.MOVED) is None


def test_the_database_is_started_again_with_every_document(
    targets: tuple[LocalTarget, LocalTarget],
) -> None:
    target = targets[0]
    before = target.process("mongodb").record()
    kept = workshop.resize_mongodb(target, memory="1Gi")
    after = target.process("mongodb").record()
    assert before and after and before.pid != after.pid  # noqa: PT018
    assert before.ports == after.ports
    assert {one.collection: one.after for one in kept} == COUNTS
    assert all(one.same for one in kept)


def test_two_replicas_are_refused_with_the_reason(
    targets: tuple[LocalTarget, LocalTarget],
) -> None:
    target = targets[0]
    part = mongodb.part_of(target)
    with stages("test") as stage, pytest.raises(SettingsError) as refused:
        target.scaling.scale(part, Scale(2), ready=mongodb.ready, timeout=10, stage=stage)
    text = str(refused.value)
    assert text.startswith("mongodb has one replica here.")
    assert "one process per part: a second one would share the cores of this machine" in text
    assert 'Hint: set TARGET = "cluster" to have more there' in text
