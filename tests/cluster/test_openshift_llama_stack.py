"""The Llama Stack operator's custom resource becomes a running server."""

from __future__ import annotations

import json
from typing import Any

import openshift_help as help_
import pytest
from openshift_help import conditions, phase, raw, shown, until
from testcluster.kubectl import apply, kubectl
from testcluster.node import Node
from testcluster.openshift import names
from testcluster.place import Place

pytestmark = pytest.mark.timeout(1800)

GENERATION = "llamastack"


@pytest.fixture(scope="module")
def project(openshift_node: Node, place: Place) -> str:
    help_.add_servers(place)
    return help_.namespace(openshift_node, "attendee-1")


def distribution(name: str, config: str, **server: Any) -> dict[str, Any]:
    return {
        "apiVersion": "llamastack.io/v1alpha1",
        "kind": "LlamaStackDistribution",
        "metadata": {"name": name},
        "spec": {
            "server": {
                "distribution": {"name": names.DISTRIBUTION},
                "containerSpec": {"env": [{"name": "VLLM_URL", "value": "https://m:8443/v1"}]},
                "userConfig": {"configMapName": config},
                **server,
            }
        },
    }


def config_map(name: str, **data: str) -> dict[str, Any]:
    data = {key.replace("_", "."): value for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_it_becomes_a_server_with_its_configuration_and_storage(
    openshift_node: Node, place: Place, project: str
) -> None:
    node = openshift_node
    ca = (place.folder / "openshift" / "service-ca" / "ca.crt").read_text()
    bundle = {"configMapName": "bundle", "configMapKeys": ["ca.crt"]}
    wanted = distribution(
        "stack", "config", storage={"size": "1Gi"}, tlsConfig={"caBundle": bundle}
    )
    maps = config_map("config", config_yaml="version: 2\n"), config_map("bundle", ca_crt=ca)
    apply(node.kubeconfig, *maps, wanted, namespace=project)
    what = ("llsd", "stack")
    one = until(node, project, what, lambda o: phase("Ready")(o) and passed(o))
    status = one["status"]
    assert status["serviceURL"] == "http://stack-service.attendee-1.svc.cluster.local:8321"
    assert status["version"]["llamaStackServerVersion"] == "0.0.1"
    assert status["distributionConfig"]["activeDistribution"] == "rh-dev"
    (provider,) = status["distributionConfig"]["providers"]
    assert provider["provider_type"] == "remote::vllm"
    kinds = ("DeploymentReady", "HealthCheck", "StorageReady", "ServiceReady")
    assert {kind: conditions(one)[kind] for kind in kinds} == dict.fromkeys(kinds, "True")
    told = json.loads(raw(node, project, "stack-service", "http", "/"))
    env = dict(pair.split("=", 1) for pair in told["env"])
    assert told["wrote"], "the volume is not writable"
    assert env["HF_HOME"] == "/.llama"
    assert env["VLLM_URL"] == "https://m:8443/v1"
    read = "/read?file="
    assert raw(node, project, "stack-service", "http", read + env["LLAMA_STACK_CONFIG"]) == (
        "version: 2\n"
    )
    assert raw(node, project, "stack-service", "http", read + env["SSL_CERT_FILE"]).strip() == (
        ca.strip()
    )
    deployment = shown(node, project, "deployment", "stack")
    pod = deployment["spec"]["template"]
    assert pod["metadata"]["labels"]["app"] == "llama-stack"
    assert pod["metadata"]["labels"]["app.kubernetes.io/instance"] == "stack"
    assert pod["spec"]["securityContext"]["fsGroup"] == 1001
    assert pod["spec"]["serviceAccountName"] == "stack-sa"
    (container,) = pod["spec"]["containers"]
    assert container["name"] == "llama-stack"
    assert container["startupProbe"]["httpGet"]["path"] == "/v1/health"


def passed(one: dict[str, Any]) -> dict[str, Any] | None:
    """Once the server was asked as well."""
    return one if conditions(one).get("HealthCheck") == "True" else None


def test_a_changed_configuration_reaches_the_server(openshift_node: Node, project: str) -> None:
    node = openshift_node
    apply(node.kubeconfig, config_map("config", config_yaml="version: 3\n"), namespace=project)

    def probe(_: dict[str, Any]) -> bool | None:
        read = "/read?file=/etc/llama-stack/config.yaml"
        url = f"/api/v1/namespaces/{project}/services/stack-service:http/proxy{read}"
        done = kubectl(node.kubeconfig, "get", "--raw", url, check=False)
        return True if done.stdout == "version: 3\n" else None

    until(node, project, ("deployment", "stack"), probe)


def test_a_missing_configuration_is_said_and_comes_right(
    openshift_node: Node, project: str
) -> None:
    node = openshift_node
    apply(node.kubeconfig, distribution("late", "missing"), namespace=project)
    one = until(node, project, ("llsd", "late"), phase("Failed"))
    (condition,) = one["status"]["conditions"]
    assert condition["type"] == "DeploymentReady"
    assert 'configmaps "missing" not found' in condition["message"]
    apply(node.kubeconfig, config_map("missing", config_yaml="a: b"), namespace=project)
    until(node, project, ("llsd", "late"), phase("Ready"))


def test_a_distribution_that_nobody_knows_fails(openshift_node: Node, project: str) -> None:
    node = openshift_node
    wanted = distribution("unknown", "config", distribution={"name": "starter-9"})
    apply(node.kubeconfig, wanted, namespace=project)
    one = until(node, project, ("llsd", "unknown"), phase("Failed"))
    assert "'starter-9' is not supported" in one["status"]["conditions"][0]["message"]


def test_a_server_that_does_not_start_stays_initializing(
    openshift_node: Node, project: str
) -> None:
    node = openshift_node
    wanted = distribution("gone", "config", distribution={"image": "registry.test/none:1"})
    apply(node.kubeconfig, wanted, namespace=project)
    one = until(node, project, ("llsd", "gone"), phase("Initializing"))
    assert conditions(one)["DeploymentReady"] == "False"


def test_what_it_made_goes_with_it(openshift_node: Node, project: str) -> None:
    node = openshift_node
    named = ("deployment/stack", "service/stack-service", "pvc/stack-pvc", "sa/stack-sa")
    shown(node, project, *named)
    shown(node, project, "rolebinding/stack-rb")
    kubectl(node.kubeconfig, "-n", project, "delete", "llsd", "stack")
    for one in named:
        gone = ("wait", one, "--for=delete", "--timeout=90s")
        kubectl(node.kubeconfig, "-n", project, *gone)


def test_the_other_generation_is_not_served(openshift_node: Node) -> None:
    done = kubectl(openshift_node.kubeconfig, "get", "--raw", "/apis/ogx.io", check=False)
    assert "the server could not find the requested resource" in done.stderr
