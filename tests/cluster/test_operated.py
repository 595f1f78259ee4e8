"""A server that an operator runs on a cluster without Routes: refusals, volumes, a CA of one's own.

The model is an address alone: nothing here is asked of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import openshift_help as help_
import pytest
import small
from openshift_help import phase, until
from operators import CRDS, Operated
from operators import operated as operating
from testcluster.node import Node
from testcluster.openshift import llama_stack_objects
from testcluster.place import Place
from workshop.clients import http
from workshop.core.errors import PartFailed
from workshop.core.wait import NotYet, wait_for
from workshop.targets.base import Endpoint
from workshop.targets.cluster import rollout
from workshop.targets.cluster.rollout import TRIED_AGAIN

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", params=CRDS)
def operated(request: pytest.FixtureRequest, node: Node, place: Place) -> Iterator[Operated]:
    help_.add_servers(place)
    with pytest.MonkeyPatch.context() as patch:
        # The small server is up at once; the fifteen seconds are the sequences'.
        patch.setitem(llama_stack_objects.STARTUP, "initialDelaySeconds", 1)
        with operating(node, request.param, f"operated-{request.param}") as found:
            yield found


def test_it_works_without_routes(operated: Operated) -> None:
    deployed = operated.ensure()
    assert deployed.action == "created"
    assert deployed.endpoint.url.startswith("http://127.0.0.1:")
    assert http.call(deployed.endpoint, "/v1/version").json == {"version": "0.0.1"}
    until(operated.node, operated.namespace, (operated.kind, "llama-stack"), phase("Ready"))
    assert operated.environment(deployed)["MODEL_TLS_VERIFY"] == "true"


def test_a_refusal_that_stays_is_told_in_the_newest_words(
    operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for another refusal, on a busy machine too.
    monkeypatch.setattr(rollout, "LASTS", 30.0)
    small.fill_quota(operated.node, operated.namespace, "first")

    def refused() -> object:
        said = "exceeded quota: first" in operated.kubectl("get", "events", "-o", "json")
        return said or NotYet("no refusal")

    def another() -> None:
        wait_for("the first refusal", refused, timeout=60)
        small.fill_quota(operated.node, operated.namespace, "second")
        operated.kubectl("delete", "resourcequota", "first")

    with ThreadPoolExecutor(1) as pool:
        changed = pool.submit(another)
        with pytest.raises(PartFailed) as failed:
            operated.ensure(runbooks_in="another store")
        changed.result()
    assert failed.value.what == "llama-stack does not fit into the namespace's quota."
    assert "exceeded quota: second" in failed.value.state
    assert "kubectl describe quota" in failed.value.hint
    # The controller of ReplicaSets waits longer after each try: meanwhile it was told to look.
    found = operated.shown("replicasets")["items"]
    assert any(TRIED_AGAIN in one["metadata"].get("annotations", {}) for one in found)


def test_what_was_put_right_is_tried_again_at_once(operated: Operated) -> None:
    operated.kubectl("delete", "resourcequota", "second")
    assert operated.ensure(runbooks_in="another store").endpoint


def test_an_operator_that_gave_up_is_asked_again(operated: Operated) -> None:
    operated.kubectl("delete", "configmap", "llama-stack-config")
    until(operated.node, operated.namespace, (operated.kind, "llama-stack"), phase("Failed"))
    # As after many tries.
    assert operated.operator
    for uid, failing in list(operated.operator.failing.items()):
        operated.operator.failing[uid] = replace(failing, until=math.inf)
    assert operated.ensure(runbooks_in="another store").endpoint
    until(operated.node, operated.namespace, (operated.kind, "llama-stack"), phase("Ready"))


def test_a_distribution_that_the_operator_does_not_know(operated: Operated) -> None:
    with pytest.raises(PartFailed) as failed:
        operated.ensure(distribution="rh-dev")
    assert failed.value.what == "llama-stack was given up by its operator."
    assert "'rh-dev' is not supported; supported: starter" in failed.value.state


def test_a_ca_of_ones_own_reaches_the_server(operated: Operated, tmp_path: Path) -> None:
    ca = (operated.node.folder / "pki" / "ca.crt").read_text()
    mine = tmp_path / "ca.pem"
    mine.write_text(ca)
    model = Endpoint("https://models.test:8443", ca_file=mine, adopted=True)
    deployed = operated.ensure(model)
    env = operated.environment(deployed)
    assert env["MODEL_TLS_VERIFY"] == "true"
    read = http.call(deployed.endpoint, f"/read?file={env['SSL_CERT_FILE']}")
    assert read.text.strip() == ca.strip()


def test_stop_keeps_the_volume_and_waits_for_the_pods(operated: Operated) -> None:
    before = operated.shown("pvc", "llama-stack-pvc")["metadata"]
    assert operated.target.stop("llama-stack") == ["llama-stack"]
    assert operated.shown("pods")["items"] == []
    assert operated.ensure().action == "created"
    after = operated.shown("pvc", "llama-stack-pvc")["metadata"]
    assert after["uid"] == before["uid"]
    assert "deletionTimestamp" not in after


def test_clean_up_finds_what_an_operator_made(operated: Operated) -> None:
    # Somebody removed the resource by hand, and with it what the kit knows the rest by.
    operated.kubectl("delete", operated.kind, "llama-stack")
    target = operated.target
    target.clean_up(data=False)
    assert operated.shown("pvc", "llama-stack-pvc")["metadata"]["uid"]
    assert target.leftovers() == []
    assert target.leftovers(data=True) == ["PersistentVolumeClaim llama-stack-pvc"]
    assert "PersistentVolumeClaim llama-stack-pvc" in target.clean_up(data=True)
    assert json.loads(operated.kubectl("get", "pods,pvc", "-o", "json"))["items"] == []
    assert target.leftovers(data=True) == []
