"""OpenShift with OpenShift AI: OGX's operator, KServe behind tokens, and restricted pods."""

from __future__ import annotations

import json
from typing import Any

import openshift_help as help_
import pytest
from openshift_help import MODEL, conditions, phase, raw, shown, until
from testcluster.kubectl import apply, kubectl
from testcluster.node import Node
from testcluster.openshift import names
from testcluster.place import Place

pytestmark = pytest.mark.timeout(1800)

PROJECT = "attendee-1"


@pytest.fixture(scope="module")
def cluster(openshift_node: Node, place: Place) -> Node:
    """The OpenShift, with a project and its images."""
    help_.add_servers(place)
    help_.namespace(openshift_node, PROJECT)
    return openshift_node


def ogx(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "ogx.io/v1beta1",
        "kind": "OGXServer",
        "metadata": {"name": name},
        "spec": {"distribution": {"name": names.DISTRIBUTION}, **spec},
    }


def config_map(name: str, labels: dict[str, str]) -> dict[str, Any]:
    meta = {"name": name, "labels": labels}
    data = {"config.yaml": "version: 2\n"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def test_ogx_sees_only_what_is_labelled_for_it(cluster: Node) -> None:
    """It fails while the ConfigMap has no label, and is Ready soon after it has one."""
    override = {"name": "config", "key": "config.yaml"}
    env = [{"name": "VLLM_TLS_VERIFY", "value": "false"}]
    server = ogx(
        "agent",
        overrideConfig=override,
        workload={"storage": {"size": "1Gi"}, "overrides": {"env": env}},
    )
    apply(cluster.kubeconfig, config_map("config", {}), server, namespace=PROJECT)
    one = until(cluster, PROJECT, ("ogxserver", "agent"), phase("Failed"))
    assert 'configmaps "config" not found' in one["status"]["conditions"][0]["message"]
    apply(cluster.kubeconfig, config_map("config", {"ogx.io/watch": "true"}), namespace=PROJECT)
    one = until(cluster, PROJECT, ("ogxserver", "agent"), answered)
    status = one["status"]
    assert status["serviceURL"] == f"http://agent-service.{PROJECT}.svc.cluster.local:8321"
    assert status["version"]["serverVersion"] == "0.0.1"
    assert conditions(one)["StorageReady"] == "True"
    told = json.loads(raw(cluster, PROJECT, "agent-service", "http", "/"))
    found = dict(pair.split("=", 1) for pair in told["env"])
    assert found["HF_HOME"] == "/.ogx"
    assert found["VLLM_TLS_VERIFY"] == "false"
    assert raw(cluster, PROJECT, "agent-service", "http", f"/read?file={found['OGX_CONFIG']}") == (
        "version: 2\n"
    )
    (container,) = shown(cluster, PROJECT, "deployment", "agent")["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["name"] == "ogx"


def answered(one: dict[str, Any]) -> dict[str, Any] | None:
    """Once it is Ready, and the server was asked as well."""
    if not phase("Ready")(one):
        return None
    return one if conditions(one).get("HealthCheck") == "True" else None


def deployment(name: str, account: str = "default", **context: Any) -> dict[str, Any]:
    """A Deployment with this security context and no other."""
    labels = {"app": name}
    container = {"name": "server", "image": MODEL}
    pod = {"serviceAccountName": account, "securityContext": context, "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def first_user(cluster: Node) -> int:
    meta = shown(cluster, PROJECT, "namespace", PROJECT)["metadata"]
    return int(meta["annotations"]["openshift.io/sa.scc.uid-range"].split("/")[0])


def available(one: dict[str, Any]) -> bool | None:
    return conditions(one).get("Available") == "True" or None


def test_a_pod_without_a_user_gets_the_namespaces_first(cluster: Node) -> None:
    apply(cluster.kubeconfig, deployment("plain"), namespace=PROJECT)
    until(cluster, PROJECT, ("deployment", "plain"), available)
    (pod,) = shown(cluster, PROJECT, "pods", "-l", "app=plain")["items"]
    user = first_user(cluster)
    assert user >= 1000650000
    assert pod["spec"]["securityContext"]["fsGroup"] == user
    assert pod["metadata"]["annotations"]["openshift.io/scc"] == "restricted-v2"
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"] == {
        "runAsUser": user,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    url = f"/api/v1/namespaces/{PROJECT}/pods/{pod['metadata']['name']}:8080/proxy"
    told = kubectl(cluster.kubeconfig, "get", "--raw", f"{url}/").stdout
    assert json.loads(told)["uid"] == user
    path = "/var/run/secrets/kubernetes.io/serviceaccount/service-ca.crt"
    bundle = kubectl(cluster.kubeconfig, "get", "--raw", f"{url}/read?file={path}").stdout
    assert bundle == (cluster.folder / "openshift" / "service-ca" / "ca.crt").read_text()


@pytest.mark.parametrize("field", ["runAsUser", "fsGroup"])
def test_a_pod_with_a_fixed_user_is_refused(cluster: Node, field: str) -> None:
    name = f"fixed-{field.lower()}"
    apply(cluster.kubeconfig, deployment(name, **{field: 1001}), namespace=PROJECT)

    def refusal(one: dict[str, Any]) -> str | None:
        failed = [
            c["message"] for c in one["status"]["conditions"] if c["type"] == "ReplicaFailure"
        ]
        return failed[0] if failed else None

    said = until(cluster, PROJECT, ("deployment", name), lambda o: o.get("status") and refusal(o))
    assert "unable to validate against any security context constraint" in said
    assert field in said


def test_an_account_that_may_use_any_user_may(cluster: Node) -> None:
    rbac = "rbac.authorization.k8s.io"
    role = {"apiGroup": rbac, "kind": "ClusterRole", "name": "system:openshift:scc:anyuid"}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "free"}}
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "free"},
        "roleRef": role,
        "subjects": [{"kind": "ServiceAccount", "name": "free"}],
    }
    pod = deployment("free", "free", runAsUser=1001, fsGroup=1001)
    apply(cluster.kubeconfig, account, binding, pod, namespace=PROJECT)
    until(cluster, PROJECT, ("deployment", "free"), available)
