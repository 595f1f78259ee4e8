"""The sequence on an OpenShift with the Llama Stack operator: LlamaStackDistribution, KServe.

The operators, the router and the admission of pods are stand-ins; see ``testcluster/openshift``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from openshift_runs import sequence
from runs import Run, checked
from testcluster.kubectl import kubectl
from testcluster.node import Node
from testcluster.place import Place
from workshop import http
from workshop.errors import EndpointError
from workshop.target import Endpoint

GENERATION = "llamastack"
NAMESPACE = "attendee"

pytestmark = pytest.mark.timeout(2400)


@pytest.fixture(scope="module")
def done(openshift_node: Node, place: Place, home: Path) -> Iterator[Run]:
    with sequence(openshift_node, place, NAMESPACE, home, "llama-stack") as run:
        yield run


def test_every_step_passes_and_every_answer_is_grounded(done: Run) -> None:
    checked(done)


def test_it_is_the_operator_that_runs_the_server(done: Run) -> None:
    get = ("-n", NAMESPACE, "get", "llamastackdistribution", "llama-stack", "-o", "json")
    status = json.loads(kubectl(done.node.kubeconfig, *get).stdout)["status"]
    assert status["phase"] == "Ready"
    deployment = ("-n", NAMESPACE, "get", "deployment", "llama-stack", "-o", "json")
    owners = json.loads(kubectl(done.node.kubeconfig, *deployment).stdout)["metadata"]
    assert owners["ownerReferences"][0]["kind"] == "LlamaStackDistribution"


def test_the_model_is_behind_a_proxy_that_asks_for_a_token(done: Run) -> None:
    endpoint = done.target.find("model")
    assert endpoint.inside == f"https://model-predictor.{NAMESPACE}.svc.cluster.local:8443"
    assert endpoint.ca_file is not None
    assert http.call(endpoint, "/v1/models").json["data"]
    stranger = Endpoint(endpoint.url, ca_file=endpoint.ca_file, server_name=endpoint.server_name)
    with pytest.raises(EndpointError, match="The credential was refused"):
        http.call(stranger, "/v1/models")
    elsewhere = Endpoint(endpoint.url, token=endpoint.token, server_name=endpoint.server_name)
    with pytest.raises(EndpointError, match="certificate was not verified"):
        http.call(elsewhere, "/v1/models")


def test_no_credential_is_shown_anywhere(done: Run) -> None:
    done.assert_no_credential_is_shown()


def test_clean_up_leaves_nothing(done: Run) -> None:
    done.assert_clean_up_leaves_nothing()
