"""KServe as OpenShift AI has it: headless, with certificates, and behind tokens on request."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import openshift_help as help_
import pytest
from openshift_help import MODEL, conditions, shown, until
from testcluster.kubectl import apply, kubectl
from testcluster.node import Node
from testcluster.openshift import names
from testcluster.openshift.resolving import routes_resolved
from testcluster.place import ENTER, Place

pytestmark = pytest.mark.timeout(1800)

PROJECT = "attendee-2"
HOST = f"model-predictor.{PROJECT}.svc.cluster.local"


@pytest.fixture(scope="module")
def cluster(openshift_node: Node, place: Place) -> Iterator[Node]:
    """The OpenShift, with a project and three models: two behind tokens, one open.

    They go afterwards: what they ask of the node's CPU, later modules need.
    """
    help_.add_servers(place)
    help_.namespace(openshift_node, PROJECT)
    protected = model("model", {"security.opendatahub.io/enable-auth": "true"})
    objects = (runtime(), *token("reader", "model", "public"), *token("stranger"))
    public = model("public", {"security.opendatahub.io/enable-auth": "true"})
    public["metadata"]["labels"]["networking.kserve.io/visibility"] = "exposed"
    models = (protected, public, model("open", {}))
    apply(openshift_node.kubeconfig, *objects, *models, namespace=PROJECT)
    for name in ("model", "open", "public"):
        until(openshift_node, PROJECT, ("isvc", name), ready)
    yield openshift_node
    kubectl(openshift_node.kubeconfig, "delete", "inferenceservice", "--all", "-n", PROJECT)


def ready(one: dict[str, Any]) -> bool | None:
    status = one.get("status") or {}
    return (status and conditions(one).get("Ready") == "True") or None


def runtime() -> dict[str, Any]:
    port = {"containerPort": 8080, "protocol": "TCP"}
    container = {"name": "kserve-container", "image": MODEL, "ports": [port]}
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": "runtime"},
        "spec": {
            "multiModel": False,
            "supportedModelFormats": [{"name": "vLLM", "autoSelect": True}],
            "containers": [container],
        },
    }


def model(name: str, annotations: dict[str, str], **labels: str) -> dict[str, Any]:
    mode = {"serving.kserve.io/deploymentMode": "RawDeployment"}
    served = {"modelFormat": {"name": "vLLM"}, "runtime": "runtime"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "annotations": annotations | mode, "labels": labels},
        "spec": {"predictor": {"minReplicas": 1, "maxReplicas": 1, "model": served}},
    }


def token(account: str, *may_get: str) -> list[dict[str, Any]]:
    """A service account with a long-lived token, and the right to get some models."""
    rbac = "rbac.authorization.k8s.io"
    rule = {
        "verbs": ["get"],
        "apiGroups": ["serving.kserve.io"],
        "resources": ["inferenceservices"],
        "resourceNames": list(may_get),
    }
    meta = {"name": account}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": f"token-{account}",
                "annotations": {"kubernetes.io/service-account.name": account},
            },
            "type": "kubernetes.io/service-account-token",
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": meta,
            "rules": [rule] if may_get else [],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account}],
        },
    ]


def curl(cluster: Node, service: str, url: str, *words: str) -> str:
    """Ask a Service's pod from the node, by the name that its certificate is for."""
    (pod,) = shown(cluster, PROJECT, "pods", "-l", f"app=isvc.{service}")["items"]
    host, port = url.split("/")[2].split(":")
    where = ("--resolve", f"{host}:{port}:{pod['status']['podIP']}")
    trusted = ("--cacert", f"{cluster.folder}/openshift/service-ca/ca.crt")
    shape = ("-sS", "--max-time", "10", "--write-out", "\n%{http_code}")
    argv = [*ENTER, "curl", *shape, *where, *trusted, *words, url]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def secret(cluster: Node, account: str) -> str:
    template = "--template={{.data.token | base64decode}}"
    words = ("-n", PROJECT, "get", "secret", f"token-{account}", template)
    return kubectl(cluster.kubeconfig, *words).stdout


def test_the_addresses_are_those_that_answer(cluster: Node) -> None:
    protected = shown(cluster, PROJECT, "isvc", "model")["status"]
    assert protected["url"] == protected["address"]["url"] == f"https://{HOST}:8443"
    opened = shown(cluster, PROJECT, "isvc", "open")["status"]
    assert opened["address"]["url"] == f"http://open-predictor.{PROJECT}.svc.cluster.local:8080"
    spec = shown(cluster, PROJECT, "service", "model-predictor")["spec"]
    assert [(port["name"], port["port"]) for port in spec["ports"]] == [("https", 8443)]
    assert spec["clusterIP"] == "None"


def test_a_token_opens_it_and_nothing_else_does(cluster: Node) -> None:
    url = f"https://{HOST}:8443/v1/version"
    assert curl(cluster, "model-predictor", url).endswith("401")
    wrong = ("--header", "authorization: Bearer wrong")
    assert curl(cluster, "model-predictor", url, *wrong).endswith("401")
    stranger = ("--header", f"authorization: Bearer {secret(cluster, 'stranger')}")
    assert curl(cluster, "model-predictor", url, *stranger).endswith("403")
    reader = ("--header", f"authorization: Bearer {secret(cluster, 'reader')}")
    told = curl(cluster, "model-predictor", url, *reader)
    assert '"version":"0.0.1"' in told
    assert told.endswith("200")


def test_what_was_added_stays_and_the_controller_rests(cluster: Node) -> None:
    """A change of the model goes through KServe's controller, and the proxy is still there."""
    before = shown(cluster, PROJECT, "deployment", "model-predictor")
    patch = '{"spec":{"predictor":{"model":{"env":[{"name":"A","value":"b"}]}}}}'
    words = ("-n", PROJECT, "patch", "isvc", "model", "--type=merge", "-p", patch)
    kubectl(cluster.kubeconfig, *words)

    def changed(one: dict[str, Any]) -> dict[str, Any] | None:
        fresh = one["metadata"]["generation"] == before["metadata"]["generation"] + 1
        done = one["status"].get("observedGeneration") == one["metadata"]["generation"]
        replaced = one["status"].get("updatedReplicas") == one["status"].get("replicas")
        return one if fresh and done and replaced and conditions(one)["Available"] else None

    after = until(cluster, PROJECT, ("deployment", "model-predictor"), changed)
    containers = {c["name"]: c for c in after["spec"]["template"]["spec"]["containers"]}
    assert list(containers) == ["kserve-container", "kube-rbac-proxy"]
    assert containers["kserve-container"]["env"] == [{"name": "A", "value": "b"}]
    settled = shown(cluster, PROJECT, "deployment", "model-predictor")
    assert settled["metadata"]["generation"] == after["metadata"]["generation"]
    spec = shown(cluster, PROJECT, "service", "model-predictor")["spec"]
    assert [port["port"] for port in spec["ports"]] == [8443]


def test_metrics_are_collected_from_every_model(cluster: Node) -> None:
    found = shown(cluster, PROJECT, "servicemonitor", "open-metrics")
    assert found["metadata"]["labels"]["monitoring.opendatahub.io/scrape"] == "true"
    (endpoint,) = found["spec"]["endpoints"]
    service = shown(cluster, PROJECT, "service", "open-metrics")
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]


def test_an_exposed_model_is_reached_through_the_router(cluster: Node) -> None:
    """The router opens TLS again towards the proxy, which still wants the token."""
    url = shown(cluster, PROJECT, "isvc", "public")["status"]["url"]
    assert url == f"https://public-{PROJECT}.{names.APPS}"
    tls = shown(cluster, PROJECT, "route", "public")["spec"]["tls"]
    assert tls["termination"] == "reencrypt"
    trusted = ssl.create_default_context(cafile=f"{cluster.folder}/openshift/router-ca/ca.crt")
    reader = {"authorization": f"Bearer {secret(cluster, 'reader')}"}
    with routes_resolved(), httpx.Client(verify=trusted, timeout=10) as client:

        def served(_: dict[str, Any]) -> bool | None:
            return client.get(f"{url}/v1/version", headers=reader).status_code == 200 or None

        until(cluster, PROJECT, ("route", "public"), served)
        assert client.get(f"{url}/v1/version").status_code == 401
