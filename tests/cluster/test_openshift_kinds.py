"""OpenShift's kinds are served, and a field that they do not have is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from testcluster.kubectl import apply, kubectl
from testcluster.node import Node
from testcluster.openshift import crds

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def kubeconfig(openshift_node: Node) -> str:
    """Both generations at once: here it is only about what the API server takes."""
    crds.install(openshift_node.kubeconfig, "llamastack")
    return str(openshift_node.kubeconfig)


def llama_stack(**server: Any) -> dict[str, Any]:
    return {
        "apiVersion": "llamastack.io/v1alpha1",
        "kind": "LlamaStackDistribution",
        "metadata": {"name": "one", "namespace": "default"},
        "spec": {"server": server},
    }


def ogx(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "ogx.io/v1beta1",
        "kind": "OGXServer",
        "metadata": {"name": "one", "namespace": "default"},
        "spec": spec,
    }


KEY = {"name": "config", "key": "config.yaml"}

REFUSED = {
    "llsd with a name and an image": (
        llama_stack(distribution={"name": "rh-dev", "image": "x"}),
        "Only one of name or image can be specified",
    ),
    "llsd with a field of the other generation": (
        llama_stack(distribution={"name": "rh-dev"}, overrideConfig=KEY),
        'unknown field "(spec.server.)?overrideConfig"',
    ),
    "llsd with a wrong variable": (
        llama_stack(
            distribution={"name": "rh-dev"},
            containerSpec={"env": [{"name": "A", "valueFrom": {"secretRef": KEY}}]},
        ),
        "unknown field .*secretRef",
    ),
    "ogx without a distribution": (ogx(distribution={}), "exactly one of name or image"),
    "ogx with a field of the other generation": (
        ogx(distribution={"name": "rh-dev"}, server={}),
        'unknown field "(spec.)?server"',
    ),
    "ogx with two configurations": (
        ogx(distribution={"name": "rh-dev"}, overrideConfig=KEY, baseConfig=KEY),
        "mutually exclusive",
    ),
    "ogx with a vllm without its address": (
        ogx(
            distribution={"name": "rh-dev"},
            providers={"inference": {"remote": {"vllm": [{"maxTokens": 1}]}}},
        ),
        "endpoint: Required value|missing required field .endpoint",
    ),
    "a route that cannot be": (
        {
            "apiVersion": "route.openshift.io/v1",
            "kind": "Route",
            "metadata": {"name": "one", "namespace": "default"},
            "spec": {
                "to": {"kind": "Service", "name": "x"},
                "tls": {"termination": "edges"},
            },
        },
        "termination: Unsupported value",
    ),
    "a machine set with labels in no known place": (
        {
            "apiVersion": "machine.openshift.io/v1beta1",
            "kind": "MachineSet",
            "metadata": {"name": "one", "namespace": "default"},
            "spec": {"template": {"spec": {"labels": {"a": "b"}}}},
        },
        "unknown field .*labels",
    ),
    "a subscription with a wrong field": (
        {
            "apiVersion": "operators.coreos.com/v1alpha1",
            "kind": "Subscription",
            "metadata": {"name": "nfd", "namespace": "default"},
            "spec": {
                "package": "nfd",
                "name": "nfd",
                "source": "redhat-operators",
                "sourceNamespace": "openshift-marketplace",
            },
        },
        'unknown field "(spec.)?package"',
    ),
    "an inference service with a wrong field": (
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "one", "namespace": "default"},
            "spec": {"predictor": {"model": {"modelFormat": {"name": "x"}, "uri": "y"}}},
        },
        "unknown field .*uri",
    ),
    "a service monitor without endpoints": (
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "ServiceMonitor",
            "metadata": {"name": "one", "namespace": "default"},
            "spec": {"selector": {}},
        },
        "endpoints: Required value|missing required field .endpoints",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_real_one_refuses_is_refused(node: Node, kubeconfig: str, name: str) -> None:
    refused, because = REFUSED[name]
    with pytest.raises(RuntimeError) as caught:
        apply(node.kubeconfig, refused)
    assert re.search(because, str(caught.value))


def test_a_new_object_has_no_status_and_the_fields_that_the_server_fills_in(
    node: Node, kubeconfig: str
) -> None:
    apply(node.kubeconfig, ogx(distribution={"name": "rh-dev"}, network={}))
    shown = ("get", "ogxserver", "one", "-o", "jsonpath={.spec.network.port} {.status}")
    assert kubectl(node.kubeconfig, *shown).stdout.strip() == "8321"
