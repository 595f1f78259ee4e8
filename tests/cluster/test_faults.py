"""What goes wrong on a cluster, really made to go wrong: each is named at once, with its remedy."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import small
from testcluster import cloud_kinds
from testcluster.control_plane import start_api_server
from testcluster.kubectl import apply, kubectl, wait_for_crds
from testcluster.node import Node
from testcluster.place import Place
from workshop.core.errors import PartFailed, PartTooSlow, SettingsError, WorkshopError
from workshop.parts.catalog import ALL
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.errors import Forbidden, Refused
from workshop.targets.cluster.login import connect
from workshop.targets.cluster.manifests import Resource

pytestmark = pytest.mark.timeout(1800)

ROUTE_CRD = ("route.openshift.io", "v1", "Route", "Namespaced")

AT_ONCE = 45.0
"""Seconds: far below the 300 that would be waited, and enough for a kubelet that backs off."""


@pytest.fixture(scope="module", autouse=True)
def image(node: Node, place: Place) -> None:
    small.add_image(place)


def fails(
    node: Node, namespace: str, bend: small.Bend = lambda _: None, **more: Any
) -> WorkshopError:
    """The error of bringing the small server up, which must come long before the time is over."""
    with small.target(node, namespace, bend, **more) as target:
        began = time.monotonic()
        with pytest.raises(WorkshopError) as failed:
            small.ensure(target, timeout=300)
        assert time.monotonic() - began < AT_ONCE, failed.value
        return failed.value


def container(made: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = made[0]["spec"]["template"]["spec"]["containers"][0]
    return found


def as_account(node: Node, namespace: str, name: str) -> Api:
    """The API as a ServiceAccount of this namespace sees it."""
    from kubernetes import client

    words = ("-n", namespace, "create", "token", name)
    token = kubectl(node.kubeconfig, *words).stdout.strip()
    admin = connect({"KUBECONFIG": str(node.kubeconfig), "WORKSHOP_NAMESPACE": namespace})
    configuration = client.Configuration()
    configuration.host = admin.url
    configuration.ssl_ca_cert = admin.client.configuration.ssl_ca_cert
    configuration.api_key["authorization"] = f"Bearer {token}"
    configuration.retries = False
    return Api(client.ApiClient(configuration), namespace)


def account(node: Node, namespace: str, *rules: dict[str, Any]) -> Api:
    """A user who may do exactly this."""
    rbac = "rbac.authorization.k8s.io"
    apply(
        node.kubeconfig,
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "attendee"}},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": {"name": "attendee"},
            "rules": list(rules),
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "attendee"},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "attendee"},
            "subjects": [{"kind": "ServiceAccount", "name": "attendee"}],
        },
        namespace=namespace,
    )
    return as_account(node, namespace, "attendee")


def rule(group: str, resources: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": ["*"]}


def test_no_permission_for_one_kind(node: Node) -> None:
    with small.target(node, "no-services"):
        api = account(
            node,
            "no-services",
            rule("", "namespaces configmaps secrets pods events persistentvolumeclaims"),
            rule("apps", "deployments replicasets"),
            rule("batch", "jobs"),
        )
    error = fails(node, "no-services", api=api)
    assert isinstance(error, Forbidden)
    assert error.what == "The cluster refused to apply Service mongodb: this user may not."
    assert 'cannot patch resource "services"' in error.state
    assert "00_check_environment" in error.hint


def test_clean_up_by_a_user_who_may_not_see_the_namespace_itself(node: Node) -> None:
    resources = "configmaps secrets services serviceaccounts pods persistentvolumeclaims"
    with small.target(node, "not-seen") as made:
        small.ensure(made)
        api = account(
            node,
            "not-seen",
            rule("", resources),
            rule("apps", "deployments statefulsets"),
            rule("batch", "jobs"),
            rule("autoscaling", "horizontalpodautoscalers"),
            rule("policy", "poddisruptionbudgets"),
            rule("networking.k8s.io", "ingresses networkpolicies"),
            rule("rbac.authorization.k8s.io", "roles rolebindings"),
        )
    with small.target(node, "not-seen", api=api) as target:
        assert "Deployment mongodb" in target.leftovers()
        assert "Deployment mongodb" in target.clean_up(data=True)
        assert target.leftovers() == []


def test_the_kind_is_not_installed(node: Node) -> None:
    def bend(made: list[dict[str, Any]]) -> None:
        meta = {"name": "x"}
        made.append({"apiVersion": "ogx.io/v9", "kind": "OGXServer", "metadata": meta, "spec": {}})

    error = fails(node, "no-kind", bend)
    assert isinstance(error, SettingsError)
    assert error.what == "The cluster does not know the kind OGXServer (ogx.io/v9)."
    assert "install the operator" in error.hint


def test_the_operator_is_absent(node: Node) -> None:
    with with_widgets(node, "no-operator") as target, pytest.raises(PartTooSlow) as failed:
        small.ensure(target, timeout=3)
    assert failed.value.state == ("the operator has not looked at the Widget yet: is it running?")


def test_the_operator_gave_up(node: Node) -> None:
    status = {
        "phase": "Failed",
        "conditions": [
            {"type": "DeploymentReady", "status": "False", "message": "ConfigMap x not found"}
        ],
    }
    with with_widgets(node, "gave-up") as target:
        put = threading.Timer(2, lambda: set_status(node, "gave-up", status))
        put.start()
        with pytest.raises(PartFailed) as failed:
            small.ensure(target, timeout=60)
    assert failed.value.what == "mongodb was given up by its operator."
    assert failed.value.state == "DeploymentReady: ConfigMap x not found"
    assert failed.value.hint == "kubectl describe Widget w"


def with_widgets(node: Node, namespace: str) -> Any:
    """A part that is a custom resource, with nobody who acts on it."""
    crd = cloud_kinds.open_crd("widgets", "test.local", "v1", "Widget", "Namespaced")
    apply(node.kubeconfig, crd)
    wait_for_crds(node.kubeconfig, timeout=30)

    def bend(made: list[dict[str, Any]]) -> None:
        widget = {"apiVersion": "test.local/v1", "kind": "Widget", "metadata": {"name": "w"}}
        made.append(widget | {"spec": {}})
        made[0]["metadata"]["name"] = "another"

    return small.target(node, namespace, bend, resource=Resource("test.local/v1", "Widget", "w"))


def set_status(node: Node, namespace: str, status: dict[str, Any]) -> None:
    patch = json.dumps({"status": status})
    words = ("-n", namespace, "patch", "widget", "w", "--subresource=status", "--type=merge")
    kubectl(node.kubeconfig, *words, "-p", patch)


def test_an_image_that_cannot_be_pulled(node: Node) -> None:
    error = fails(
        node, "no-image", lambda made: container(made).update(image="registry.test/missing:1")
    )
    assert isinstance(error, PartFailed)
    assert error.what == "mongodb cannot pull its image."
    assert "registry.test/missing:1" in error.state
    assert "mirror the image" in error.hint


def test_a_container_that_ends_again_and_again(node: Node) -> None:
    error = fails(node, "crash", small.setting("END_WITH", "7"))
    assert isinstance(error, PartFailed)
    assert error.what == "mongodb ends again and again."
    assert error.state.startswith("exit code 7, started ")
    assert error.log == ("the disk is on fire",)


def test_a_container_that_needs_more_memory_than_its_limit(node: Node) -> None:
    error = fails(node, "memory", small.setting("EAT", "1"))
    assert isinstance(error, PartFailed)
    assert error.what == ("mongodb was ended because it used more memory than its limit of 64Mi.")
    assert "OOMKilled" in error.state


def test_a_secret_that_is_missing(node: Node) -> None:
    key = {"secretKeyRef": {"name": "nobody", "key": "token"}}
    error = fails(
        node,
        "no-secret",
        lambda made: container(made)["env"].append({"name": "T", "valueFrom": key}),
    )
    assert error.what == "mongodb cannot be started by its node."
    assert error.state == 'CreateContainerConfigError: secret "nobody" not found'


def test_no_node_has_a_gpu(node: Node) -> None:
    def bend(made: list[dict[str, Any]]) -> None:
        for limits in container(made)["resources"].values():
            limits["nvidia.com/gpu"] = "1"

    error = fails(node, "no-gpu", bend)
    assert error.what == "mongodb waits for a GPU, and no node has one free."
    assert "Insufficient nvidia.com/gpu" in error.state
    assert error.hint.startswith("run 01_add_gpu_nodes")


def test_no_node_is_large_enough(node: Node) -> None:
    def bend(made: list[dict[str, Any]]) -> None:
        container(made)["resources"] = {
            "requests": {"memory": "900Gi"},
            "limits": {"memory": "900Gi"},
        }

    error = fails(node, "too-large", bend)
    assert error.what == "mongodb does not fit on any node."
    assert "Insufficient memory" in error.state


def test_the_quota_is_used_up(node: Node) -> None:
    with small.target(node, "quota"):
        small.fill_quota(node, "quota", "small")
    error = fails(node, "quota")
    assert error.what == "mongodb does not fit into the namespace's quota."
    assert "exceeded quota: small" in error.state
    assert "kubectl describe quota" in error.hint


def test_a_pod_with_more_rights_than_the_namespace_gives(node: Node) -> None:
    error = fails(
        node,
        "rights",
        lambda made: container(made)["securityContext"].update(allowPrivilegeEscalation=True),
    )
    assert error.what.startswith("mongodb is not admitted: its pod asks for rights")
    assert "violates PodSecurity" in error.state


def test_a_volume_that_nothing_provides(node: Node) -> None:
    def bend(made: list[dict[str, Any]]) -> None:
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "gp3-csi",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        made.append(claim)
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
        made[0]["spec"]["template"]["spec"]["volumes"] = [volume]

    error = fails(node, "no-volume", bend)
    assert error.what == "mongodb waits for its volume data, and nothing provides it."
    assert 'storageclass.storage.k8s.io "gp3-csi" not found' in error.state
    assert "STORAGE_CLASS" in error.hint


def test_a_model_that_loads_longer_than_its_probe_lets_it(node: Node) -> None:
    def bend(made: list[dict[str, Any]]) -> None:
        small.setting("LOAD_FOR", "600")(made)
        probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
        container(made)["startupProbe"] = probe

    error = fails(node, "slow-probe", bend)
    assert error.what == "mongodb is ended by its own probe while it still loads."
    assert "Startup probe failed" in error.state
    assert "startupProbe" in error.hint


def test_too_slow_says_what_was_seen_last(node: Node) -> None:
    with (
        small.target(node, "slow", small.setting("LOAD_FOR", "600")) as target,
        pytest.raises(PartTooSlow) as slow,
    ):
        small.ensure(target, timeout=5)
    assert slow.value.what == "Waited 5 s for mongodb to answer."
    assert "small: running, not ready yet" in slow.value.state
    assert slow.value.log == ("loading",)


@pytest.fixture
def routes(node: Node) -> Iterator[None]:
    """OpenShift's Routes, and no router; they are gone after the test."""
    crd = cloud_kinds.open_crd("routes", *ROUTE_CRD)
    apply(node.kubeconfig, crd)
    wait_for_crds(node.kubeconfig, timeout=30)
    yield
    kubectl(node.kubeconfig, "delete", "crd", "routes.route.openshift.io")


def with_route(made: list[dict[str, Any]]) -> None:
    meta = {"name": small.NAME, "labels": made[0]["metadata"]["labels"]}
    route = {"apiVersion": "route.openshift.io/v1", "kind": "Route", "metadata": meta}
    made.append(route | {"spec": {"to": {"kind": "Service", "name": small.NAME}}})


def test_no_router_admits_the_route(node: Node, routes: None) -> None:
    with (
        small.target(node, "no-router", with_route, route=small.NAME) as target,
        pytest.raises(PartTooSlow) as slow,
    ):
        small.ensure(target, timeout=10)
    assert slow.value.state == "no router has admitted the Route mongodb yet"


def test_the_router_refuses_the_route(node: Node, routes: None) -> None:
    refused = {
        "type": "Admitted",
        "status": "False",
        "reason": "HostAlreadyClaimed",
        "message": "route other already exposes shop.example.com",
    }
    status = json.dumps({"status": {"ingress": [{"host": "x", "conditions": [refused]}]}})
    words = ("-n", "refused-route", "patch", "route", small.NAME, "--subresource=status")

    def refuse() -> None:
        kubectl(node.kubeconfig, *words, "--type=merge", "-p", status)

    with small.target(node, "refused-route", with_route, route=small.NAME) as target:
        put = threading.Timer(2, refuse)
        put.start()
        with pytest.raises(PartFailed) as failed:
            small.ensure(target, timeout=60)
        put.join()
    assert failed.value.what == "mongodb has a Route that was refused."
    assert failed.value.state.startswith("HostAlreadyClaimed: route other already exposes")
    assert "kubectl describe route mongodb" in failed.value.hint


def test_somebody_else_manages_a_field(node: Node) -> None:
    with small.target(node, "conflict") as target:
        small.ensure(target)
        words = ("-n", "conflict", "scale", "deployment/mongodb", "--replicas=2")
        kubectl(node.kubeconfig, *words)
        with pytest.raises(Refused) as refused:
            small.ensure(target, say="something else")
    assert refused.value.what == (
        "The cluster refused to apply Deployment mongodb: kubectl manages a field of it."
    )
    assert ".spec.replicas" in refused.value.state
    assert "does not overwrite" in refused.value.hint


def test_the_namespace_is_being_deleted(node: Node) -> None:
    with small.target(node, "leaving"):
        meta = {"name": "holds", "finalizers": ["test.local/holds"]}
        apply(
            node.kubeconfig,
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta},
            namespace="leaving",
        )
        kubectl(node.kubeconfig, "delete", "namespace", "leaving", "--wait=false")
    try:
        api = connect({"KUBECONFIG": str(node.kubeconfig), "WORKSHOP_NAMESPACE": "leaving"})
        from workshop.targets.cluster.target import ClusterTarget

        target = ClusterTarget(api, ALL, {small.NAME: small.planner()})
        with pytest.raises(Refused) as refused:
            small.ensure(target)
    finally:
        words = ("-n", "leaving", "patch", "configmap", "holds", "--type=merge")
        kubectl(node.kubeconfig, *words, "-p", '{"metadata":{"finalizers":null}}')
    assert "the namespace is being deleted" in refused.value.what
    assert "WORKSHOP_NAMESPACE" in refused.value.hint


def test_a_login_that_is_not_valid_any_more(node: Node) -> None:
    with small.target(node, "expired"):
        api = account(node, "expired", rule("", "pods"))
        assert api.list("v1", "Pod") == []
        # Its tokens end with it, as others do with time.
        kubectl(node.kubeconfig, "-n", "expired", "delete", "serviceaccount", "attendee")
    error = eventually_refused(api)
    assert "the login is not valid, or has expired" in error.what
    assert "oc login" in error.hint


def eventually_refused(api: Api) -> Refused:
    from workshop.core.wait import NotYet, wait_for

    def refused() -> Refused | NotYet:
        try:
            api.list("v1", "Pod")
        except Refused as error:
            return error
        # The API server remembers for ten seconds that a token was valid.
        return NotYet("still let in")

    return wait_for("the token to be refused", refused, timeout=30)


def test_the_api_server_is_away_for_twenty_seconds(node: Node, place: Place) -> None:
    away = 20.0

    def back() -> None:
        start_api_server(place)

    with small.target(node, "away", small.setting("LOAD_FOR", "2")) as target:
        target.status()
        place.process("kube-apiserver").stop(grace=10)
        timer = threading.Timer(away, back)
        timer.start()
        began = time.monotonic()
        try:
            deployed = small.ensure(target, timeout=120)
        finally:
            timer.join()
            # CoreDNS waits longer and longer between its tries, up to a minute; until then it knows
            # no Service that was made since, and the next tests make some.
            dns = ("-n", "kube-system", "rollout")
            kubectl(node.kubeconfig, *dns, "restart", "deployment/coredns")
            kubectl(node.kubeconfig, *dns, "status", "deployment/coredns", "--timeout=60s")
    assert time.monotonic() - began >= away
    assert deployed.action == "created"
    assert small.ready(deployed.endpoint) == "hello"


def test_an_api_server_that_stays_away_is_said(node: Node) -> None:
    from kubernetes import client
    from workshop.targets.cluster import api as cluster_api

    configuration = client.Configuration()
    configuration.host, configuration.retries = "https://127.0.0.1:1", False
    api = Api(client.ApiClient(configuration), "away")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_api, "PATIENCE", 1.0)
        with pytest.raises(PartTooSlow) as slow:
            api.list("v1", "Pod")
    assert slow.value.what == "Waited 1 s for the API server to list its kinds."
    assert "refused" in slow.value.state


def test_what_was_interrupted_goes_on(node: Node) -> None:
    with small.target(node, "interrupted", small.setting("LOAD_FOR", "3")) as target:

        def interrupt(_endpoint: object) -> object:
            raise KeyboardInterrupt

        from workshop.core.progress import Stages
        from workshop.targets.base import Part

        part = Part(small.NAME, 8080)
        with pytest.raises(KeyboardInterrupt):
            target.ensure(part, ready=interrupt, timeout=60, stage=Stages("small"))
        uid = (
            "-n",
            "interrupted",
            "get",
            "deployment",
            "mongodb",
            "-o",
            "jsonpath={.metadata.uid}",
        )
        before = kubectl(node.kubeconfig, *uid).stdout
        assert small.ensure(target).action == "reused"
        assert kubectl(node.kubeconfig, *uid).stdout == before


def test_two_runs_at_once_end_in_one_part(node: Node) -> None:
    results: list[object] = []

    def run(target: Any) -> Callable[[], None]:
        return lambda: results.append(small.ensure(target))

    with small.target(node, "twice") as one, small.target(node, "twice") as other:
        threads = [threading.Thread(target=run(target)) for target in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 2
        pods = kubectl(node.kubeconfig, "-n", "twice", "get", "pods", "-o", "name").stdout
        assert len(pods.split()) == 1
