"""The cluster target on a real Kubernetes: up, reused, changed, found, stopped, cleaned up."""

from __future__ import annotations

import copy
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import small
from testcluster.kubectl import kubectl
from testcluster.node import Node
from testcluster.place import Place
from workshop.clients import http
from workshop.core.errors import EndpointError, StepMissing
from workshop.core.secret import Secret
from workshop.core.wait import NotYet, wait_for
from workshop.parts.catalog import ALL
from workshop.targets.base import Endpoint
from workshop.targets.cluster.login import connect
from workshop.targets.cluster.manifests import llama_stack
from workshop.targets.cluster.manifests.llama_stack import NAME
from workshop.targets.cluster.target import ClusterTarget

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def target(node: Node, place: Place) -> Iterator[ClusterTarget]:
    small.add_image(place)
    with small.target(node, "target") as target:
        yield target


def pods(node: Node) -> list[str]:
    words = ("-n", "target", "get", "pods", "-o", "name")
    return kubectl(node.kubeconfig, *words).stdout.split()


def test_a_part_comes_up_and_is_reached_from_outside(target: ClusterTarget) -> None:
    deployed = small.ensure(target)
    assert deployed.action == "created"
    assert deployed.endpoint.url.startswith("http://127.0.0.1:")
    assert deployed.endpoint.inside == "http://mongodb.target.svc.cluster.local:8080"
    assert http.call(target.find(small.NAME), "/x").json == {"said": "hello", "path": "/x"}


def test_the_second_time_it_is_reused(target: ClusterTarget, node: Node) -> None:
    before = pods(node)
    assert small.ensure(target).action == "reused"
    assert pods(node) == before


def test_changed_settings_are_applied_and_awaited(target: ClusterTarget, node: Node) -> None:
    before = pods(node)
    deployed = small.ensure(target, say="good evening")
    assert deployed.action == "changed"
    assert http.call(deployed.endpoint, "/").json["said"] == "good evening"
    assert not set(before) & set(pods(node))


def test_a_credential_is_made_anew_once_and_the_old_one_kept_until_it_is_retired(
    target: ClusterTarget, node: Node
) -> None:
    target.store.secret("mongodb password", lambda: "first")
    old = target.store.renew(small.NAME, "mongodb password", lambda: "second")
    assert old == Secret("first")
    env = {"KUBECONFIG": str(node.kubeconfig), "WORKSHOP_NAMESPACE": "target"}
    other = ClusterTarget(connect(env), ALL)
    # As after an interruption: what was begun goes on, and no third is made.
    assert other.store.renew(small.NAME, "mongodb password", lambda: pytest.fail("twice")) == old
    assert other.store.secret("mongodb password", lambda: "never") == Secret("second")
    assert {Secret("first"), Secret("second")} <= set(other.store.secrets())
    target.store.retire("mongodb password")
    assert Secret("first") not in other.store.secrets()
    with pytest.raises(StepMissing, match="There is no other token yet"):
        target.store.renew(small.NAME, "other token", lambda: "first")


def test_a_forwarded_port_survives_the_pods_end(target: ClusterTarget, node: Node) -> None:
    endpoint = small.ensure(target).endpoint
    (pod,) = pods(node)
    kubectl(node.kubeconfig, "-n", "target", "delete", pod)

    def answers() -> object:
        try:
            return http.call(endpoint, "/").json
        except EndpointError as error:
            return NotYet(error.what)

    wait_for("the new pod", answers, timeout=60)


def test_many_connections_at_once_go_through_a_forwarded_port(target: ClusterTarget) -> None:
    endpoint = small.ensure(target).endpoint
    with ThreadPoolExecutor(16) as pool:
        paths = [f"/{number}" for number in range(48)]
        answers = list(pool.map(lambda path: http.call(endpoint, path).json["path"], paths))
    assert answers == paths


def test_a_forwarded_port_is_on_loopback_alone_and_leaves_no_process(
    target: ClusterTarget,
) -> None:
    port = small.ensure(target).endpoint.port
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((socket.gethostbyname("127.0.0.2"), port), timeout=2)
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("forward")]
    assert names
    assert all(thread.daemon for thread in threading.enumerate() if thread.name in names)


def test_status_and_logs_name_what_runs(target: ClusterTarget) -> None:
    small.ensure(target)
    (row,) = target.status()
    assert (row.name, row.state) == (small.NAME, "running")
    assert "small: ready" in row.detail
    assert list(target.logs(small.NAME)) == ["serving"]


def test_what_was_stopped_is_not_found(target: ClusterTarget, node: Node) -> None:
    small.ensure(target)
    assert target.stop(small.NAME) == [small.NAME]
    assert pods(node) == []
    with pytest.raises(StepMissing, match="mongodb was not deployed yet") as missing:
        target.find(small.NAME)
    assert missing.value.hint == "run 04_deploy_mongodb first"
    assert target.stop(small.NAME) == []


def test_what_a_part_does_not_need_any_more_is_removed(node: Node) -> None:
    def extra(made: list[dict[str, object]]) -> None:
        meta = {"name": "extra", "labels": made[0]["metadata"]["labels"]}  # type: ignore[index]
        made.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "b"}})

    stranger = ("-n", "prune", "create", "configmap", "stranger")
    with small.target(node, "prune", extra) as target:
        small.ensure(target)
        kubectl(node.kubeconfig, *stranger)
    with small.target(node, "prune") as target:
        small.ensure(target)
        found = kubectl(node.kubeconfig, "-n", "prune", "get", "configmaps", "-o", "name").stdout
        assert "configmap/extra" not in found
        assert "configmap/stranger" in found


def test_a_job_is_made_anew_while_the_parts_pod_goes_on(node: Node) -> None:
    def with_job(made: list[dict[str, Any]]) -> None:
        template = copy.deepcopy(made[0]["spec"]["template"])
        template["metadata"]["labels"]["app"] = "setup"
        template["spec"]["restartPolicy"] = "Never"
        meta = {"name": "setup", "labels": made[0]["metadata"]["labels"]}
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta}
        made.append(job | {"spec": {"template": template}})
        small.setting("END_WITH", "0")([made[-1]])

    with small.target(node, "job", with_job, jobs=("setup",)) as target:
        assert small.ensure(target).action == "created"
        assert small.ensure(target, say="good morning").action == "changed"


def test_clean_up_removes_what_is_the_kits_and_nothing_else(node: Node) -> None:
    with small.target(node, "clean") as target:
        small.ensure(target)
        target.store.secret("a token", lambda: "secret-canary")
        kubectl(node.kubeconfig, "-n", "clean", "create", "configmap", "stranger")
        kept = target.clean_up(data=False)
        assert "Deployment mongodb" in kept
        assert target.leftovers() == []
        assert [secret.reveal() for secret in target.store.secrets()] == ["secret-canary"]
        assert "Secret agent-workshop-kit" in target.clean_up(data=True)
        assert target.store.secrets() == []
        names = kubectl(node.kubeconfig, "-n", "clean", "get", "configmaps", "-o", "name").stdout
        assert "configmap/stranger" in names


def test_two_that_ask_at_once_get_the_same_credential(node: Node) -> None:
    with small.target(node, "secrets") as target:
        made = iter(range(100))
        with ThreadPoolExecutor(8) as pool:
            asked = [
                pool.submit(target.store.secret, "a token", lambda: f"canary-{next(made)}")
                for _ in range(8)
            ]
            assert len({one.result().reveal() for one in asked}) == 1


def test_an_endpoint_of_ones_own_takes_the_parts_place_and_gives_it_back(node: Node) -> None:
    with small.target(node, "adopted") as target:
        own = small.ensure(target).endpoint
        theirs = Endpoint("https://model.example.com", token=Secret("adopted-canary"))
        target.adopt(small.NAME, theirs)
        found = target.find(small.NAME)
        assert (found.url, found.token) == (theirs.url, theirs.token)
        assert [row.state for row in target.status()] == ["yours"]
        facts = ("-n", "adopted", "get", "configmap", "agent-workshop-kit", "-o", "yaml")
        assert "adopted-canary" not in kubectl(node.kubeconfig, *facts).stdout
        small.ensure(target)
        assert target.find(small.NAME).peer_url == own.peer_url
        assert "adopted-canary" not in [secret.reveal() for secret in target.store.secrets()]


def test_an_ingress_that_a_controller_has_taken_is_the_way_in(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No controller runs here: the test says in its place that it has taken the Ingress."""
    env = {"KUBECONFIG": str(node.kubeconfig), "WORKSHOP_NAMESPACE": "ingress"}
    api = connect(env | {"WORKSHOP_INGRESS_DOMAIN": "localhost"})
    made = llama_stack._ingress(api)
    with small.target(node, "ingress", lambda built: built.extend(made), api, ingress=NAME) as t:
        outside = small.ensure(t).endpoint
        assert outside.url.startswith("http://127.0.0.1:")
        status = {"status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}}
        words = ("-n", "ingress", "patch", "ingress", NAME, "--subresource=status")
        kubectl(node.kubeconfig, *words, "--type=merge", "-p", json.dumps(status))
        host, real = "llama-stack-ingress.localhost", socket.getaddrinfo

        def look(name: str, *rest: Any, **more: Any) -> Any:
            return real("127.0.0.1" if name == host else name, *rest, **more)

        monkeypatch.setattr(socket, "getaddrinfo", look)
        assert t.find(small.NAME).url == f"https://{host}"
