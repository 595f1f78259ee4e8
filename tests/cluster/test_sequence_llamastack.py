"""The sequence on an OpenShift with the Llama Stack operator: LlamaStackDistribution, KServe.

The operators, the router and the admission of pods are stand-ins; see ``testcluster/openshift``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openshift_runs import assert_operated, sequence
from runs import Run, checked
from testcluster.node import Node
from testcluster.openshift import names
from testcluster.openshift.resolving import routes_resolved
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
    checked(done, "07_ask_the_agent")


def test_it_is_the_operator_that_runs_the_server(done: Run) -> None:
    assert_operated(done, "LlamaStackDistribution")


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


def test_it_is_reached_by_its_route_where_the_host_name_is_known(done: Run) -> None:
    with routes_resolved():
        endpoint = done.target.find("llama-stack")
        assert endpoint.url == f"https://llama-stack-{NAMESPACE}.{names.APPS}"
        assert http.call(endpoint, "/v1/health").json == {"status": "OK"}
        plain = Endpoint(endpoint.url.replace("https:", "http:"))
        assert http.call(plain, "/v1/health", expect=302).status == 302
        with pytest.raises(EndpointError, match="certificate was not verified"):
            http.call(Endpoint(endpoint.url), "/v1/health")
    assert done.target.find("llama-stack").url.startswith("http://127.0.0.1:")


def test_every_pod_has_the_user_that_the_namespace_gives(done: Run) -> None:
    for pod in done.pods():
        if pod["metadata"]["labels"].get("app") == "llama-stack":
            continue
        assert pod["metadata"]["annotations"]["openshift.io/scc"] == "restricted-v2"
        users = {
            (one.get("securityContext") or {}).get("runAsUser")
            or pod["spec"]["securityContext"].get("runAsUser")
            for one in pod["spec"]["containers"]
        }
        assert len(users) == 1
        assert users.pop() >= 1_000_000_000


def test_no_credential_is_shown_anywhere(done: Run) -> None:
    done.assert_no_credential_is_shown()


def test_clean_up_leaves_nothing(done: Run) -> None:
    done.assert_clean_up_leaves_nothing()
