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
from testcluster import software
from testcluster.kubectl import apply
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


def test_step_9_reads_the_page_that_its_operator_opens(done: Run, place: Place) -> None:
    software.add_prometheus(place)
    page = (software.PAGE, *software.PAGE_OPENED)
    apply(done.node.kubeconfig, *page, namespace=NAMESPACE)
    watched = done.command("run", "--only", "09", "-p", "QUESTIONS=1")
    assert watched.returncode == 0, watched.stdout
    assert "llama-stack: its page is read: read" in watched.stdout


def test_no_credential_is_shown_anywhere(done: Run) -> None:
    done.assert_no_credential_is_shown()


def test_clean_up_leaves_nothing(done: Run) -> None:
    done.assert_clean_up_leaves_nothing()
