"""The list of parts: what it says fits together, and each target knows how to run its parts."""

from __future__ import annotations

import pytest
from workshop.core.errors import SettingsError
from workshop.core.settings import CHECKOUT, TARGETS
from workshop.parts.catalog import ALL
from workshop.targets.cluster import manifests
from workshop.targets.local import programs
from workshop.targets.spec import Spec, module_of

PLACE = ("cluster", "permissions", "network")
"""What parts rest on that is none."""

each = pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)


def test_a_part_needs_earlier_ones_alone() -> None:
    names = [spec.name for spec in ALL]
    assert len(set(names)) == len(names)
    for place, spec in enumerate(ALL):
        assert set(spec.needs) <= {*PLACE, *names[:place]}, spec.name


@each
def test_each_target_that_runs_a_part_knows_how(spec: Spec) -> None:
    assert set(spec.on) <= set(TARGETS)
    for target, find, lacks in (
        ("local", lambda: module_of(spec.name, programs.__name__, "None.").command, r"^None\."),
        ("cluster", lambda: manifests.planner_of(spec.name), "^The cluster target has no "),
    ):
        if target in spec.on:
            assert callable(find())
        else:
            with pytest.raises(SettingsError, match=lacks):
                find()


def test_two_parts_are_on_a_cluster_what_their_manifests_say_and_no_more() -> None:
    parts = ALL.on("cluster")
    plain = [name for name in parts if manifests.planner_of(name) is manifests._as_built]
    assert sorted(plain) == ["collector", "embedder"]


@each
def test_what_is_asked_of_a_part_fits_together(spec: Spec) -> None:
    assert (CHECKOUT / "notebooks" / f"{spec.notebook}.ipynb").is_file()
    assert bool(spec.on) == bool(spec.port) == bool(spec.peers)
    # A credential is rotated by deploying the part again, and its refusal is proven.
    if spec.credentials:
        assert None not in (spec.part, spec.ready, spec.refusal)
    if spec.order:
        assert spec.serves in ("answers", "data")
    if spec.page:
        owner = ALL.get(spec.page.part)
        assert owner
        assert spec.page.at == spec.name
        assert spec.page.exporter in ("", *spec.beside)


def test_a_question_passes_each_part_once() -> None:
    orders = sorted(spec.order for spec in ALL if spec.order)
    assert orders == list(range(1, len(orders) + 1))


def test_no_two_parts_claim_the_same_pods() -> None:
    labels = [tuple(one.items()) for peer in ALL.peers for one in peer.labels]
    assert len(set(labels)) == len(labels)


def test_a_part_is_named_or_refused() -> None:
    assert ALL.notebook("mcp-server") == "05_deploy_mcp_server"
    assert ALL.notebook("coffee") == "00_check_environment"
    assert ALL.named("postgresql", "cluster", "") == "postgresql"
    with pytest.raises(SettingsError, match="There is no part 'postgresql'"):
        ALL.named("postgresql", "local", "workshop status")
