"""The sequence on an OpenShift with the Llama Stack operator: LlamaStackDistribution, KServe.

The operators, the router and the admission of pods are stand-ins; see ``testcluster/openshift``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import workshop
from network_runs import assert_three_agree
from openshift_runs import assert_grounded, assert_operated, sequence
from runs import Run
from testcluster.kubectl import kubectl
from testcluster.node import Node
from testcluster.openshift import names
from testcluster.openshift.resolving import routes_resolved
from testcluster.place import Place
from workshop.clients import http
from workshop.core.checks import Checks
from workshop.core.errors import EndpointError
from workshop.core.wait import NotYet, wait_for
from workshop.operate.secure import ask_route, check_routes, hsts
from workshop.targets import network
from workshop.targets.base import Endpoint, Route

GENERATION = "llamastack"
NAMESPACE = "attendee"

pytestmark = pytest.mark.timeout(2400)


@pytest.fixture(scope="module")
def done(openshift_node: Node, place: Place, home: Path) -> Iterator[Run]:
    with sequence(openshift_node, place, NAMESPACE, home, "llama-stack") as run:
        yield run


def test_every_step_passes_and_the_agent_is_grounded(done: Run) -> None:
    assert_grounded(done)


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


def test_its_route_answers_as_it_should(done: Run) -> None:
    with routes_resolved():
        (route,) = workshop.list_routes(done.target)
        assert route.name == "Route llama-stack"
        assert route.plain.startswith(f"HTTP 302 to https://llama-stack-{NAMESPACE}.{names.APPS}")
        assert route.hsts == "max-age=31536000"
        assert route.tls.startswith("edge, signed by ")
        assert route.timeout == "300 s"
        checks = Checks("routes")
        check_routes(done.target.network.routes(), checks)
        assert len(checks.raise_if_failed()) == 5


def test_declared_tried_and_analysed_agree_on_every_way(done: Run, analyst: Path) -> None:
    pairs = assert_three_agree(done, analyst)
    # Behind the proxy, the model itself wants no token: nobody but the monitoring reaches it.
    reach = {p.source: p.seen == "open" for p in pairs if p.name.endswith("model:8080")}
    assert [who for who, is_open in reach.items() if is_open] == ["monitoring"]


def test_a_model_that_is_exposed_has_a_route_that_opens_tls_again(done: Run) -> None:
    key, value = "networking.kserve.io/visibility", "exposed"
    mine = partial(kubectl, done.node.kubeconfig, "-n", NAMESPACE)
    mine("label", "inferenceservice", "model", f"{key}={value}")
    # KServe gives the label to the pods too, and so starts the model again.
    labelled = "{.spec.template.metadata.labels." + key.replace(".", r"\.") + "}"
    mine("wait", "deployment/model-predictor", f"--for=jsonpath={labelled}={value}")
    mine("rollout", "status", "deployment/model-predictor", "--timeout=300s", "--request-timeout=0")
    target = done.target

    def routed() -> Route | NotYet:
        fronts = [one for one in target.network.routes() if one.name == "Route model"]
        if not fronts:
            return NotYet("no Route yet")
        try:
            with routes_resolved():
                hsts(fronts[0])
        except EndpointError as error:
            return NotYet(error.state)
        return fronts[0]

    front = wait_for("the model's Route", routed, timeout=60)
    assert (front.termination, front.serves_tls) == ("reencrypt", True)
    assert "workshop-model-router" in workshop.secure_network(target)
    assert network.Way("router", "model", 8443, "its Route") in network.ways(
        target.network._shape(target.deployed.locations())
    )
    with routes_resolved():
        route = ask_route(front)
    assert route.tls.startswith("reencrypt, signed by ")
    assert route.plain.startswith("HTTP 302 to https://model-")
    checks = Checks("routes")
    with routes_resolved():
        check_routes([front], checks)
    # OpenShift AI's controller gives its Route no HSTS header, and that is not the kit's to fix.
    assert len(checks.raise_if_failed()) == 4


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
