"""What was chosen for a part is kept, and is what it is deployed as the next time."""

from __future__ import annotations

from pathlib import Path

import pytest
from workshop.core.errors import SettingsError
from workshop.core.settings import Settings
from workshop.operate import credentials
from workshop.parts import llama_stack, model, mongodb
from workshop.parts.catalog import ALL
from workshop.targets.local.target import LocalTarget
from workshop.targets.spec import keep_choices


@pytest.fixture
def target(tmp_path: Path) -> LocalTarget:
    return LocalTarget(Settings(state=tmp_path / "state"), ALL)


def test_a_part_is_deployed_again_as_it_was_chosen(target: LocalTarget) -> None:
    assert mongodb.part_of(target).settings["storage_size"] == mongodb.STORAGE
    keep_choices(target, mongodb.PART, storage_size="5Gi", storage_class="fast")
    settings = mongodb.part_of(target).settings
    assert (settings["storage_size"], settings["storage_class"]) == ("5Gi", "fast")
    assert "model" not in model.part_of(target).settings
    keep_choices(target, model.PART, model="Qwen/Qwen3-14B-AWQ")
    assert model.part_of(target).settings["model"] == "Qwen/Qwen3-14B-AWQ"


def test_a_storage_that_is_not_known_is_named(target: LocalTarget) -> None:
    with pytest.raises(SettingsError) as refused:
        llama_stack.deploy_llama_stack(target, storage="floppy")
    assert str(refused.value).startswith("STORAGE = 'floppy' is not known.")
    assert "known: inside, postgresql" in str(refused.value)


def test_credentials_of_a_replica_set_are_left_as_they_are(target: LocalTarget) -> None:
    target.store.remember(mongodb.MOVED, mongodb.REPLICAS)
    before = target.store.secret(mongodb.CREDENTIAL, lambda: "first")
    told = credentials.rotate_credential(target, mongodb.PART)
    assert (told.old, told.callers) == ("", "")
    assert told.skipped.startswith("its documents are in the replica set")
    assert target.store.secret(mongodb.CREDENTIAL, lambda: "never") == before
