"""The sequence on an OpenShift with the OGX operator: OGXServer, KServe.

The operators, the router and the admission of pods are stand-ins; see ``testcluster/openshift``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from network_runs import assert_three_agree
from openshift_runs import assert_grounded, assert_operated, sequence
from runs import Run
from testcluster.node import Node
from testcluster.place import Place

GENERATION = "ogx"
NAMESPACE = "attendee"

pytestmark = pytest.mark.timeout(2400)


@pytest.fixture(scope="module")
def done(openshift_node: Node, place: Place, home: Path) -> Iterator[Run]:
    with sequence(openshift_node, place, NAMESPACE, home, "ogx") as run:
        yield run


def test_every_step_passes_and_the_agent_is_grounded(done: Run) -> None:
    assert_grounded(done)


def test_it_is_the_operator_that_runs_the_server(done: Run) -> None:
    assert_operated(done, "OGXServer")


def test_declared_tried_and_analysed_agree_on_every_way(done: Run, analyst: Path) -> None:
    assert_three_agree(done, analyst)


def test_no_credential_is_shown_anywhere(done: Run) -> None:
    done.assert_no_credential_is_shown()


def test_clean_up_leaves_nothing(done: Run) -> None:
    done.assert_clean_up_leaves_nothing()
