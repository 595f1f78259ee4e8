"""A GPU node comes from a MachineSet, and its GPU from two operators."""

from __future__ import annotations

import copy
import json
from typing import Any

import openshift_help as help_
import pytest
from openshift_help import conditions, shown, until
from testcluster.kubectl import apply, kubectl
from testcluster.node import Node
from testcluster.openshift import installed, names
from testcluster.openshift.machines import SET

pytestmark = pytest.mark.timeout(1800)

GPU_LABEL = "node-role.kubernetes.io/gpu"
TAINT = {"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}


def gpu_set(kubeconfig: Node, zone: str) -> dict[str, Any]:
    """A copy of the first worker's MachineSet, as the kit would make it."""
    (first,) = shown(kubeconfig, names.MACHINES, "machinesets", "-l", "!gpu")["items"][:1]
    name = f"{names.INFRASTRUCTURE}-gpu-{zone}"
    made = {key: copy.deepcopy(first[key]) for key in ("apiVersion", "kind", "spec")}
    made["metadata"] = {"name": name, "namespace": names.MACHINES, "labels": {"gpu": "true"}}
    made["spec"]["selector"]["matchLabels"][SET] = name
    template = made["spec"]["template"]
    template["metadata"]["labels"][SET] = name
    template["spec"]["metadata"] = {"labels": {GPU_LABEL: ""}}
    template["spec"]["taints"] = [TAINT]
    value = template["spec"]["providerSpec"]["value"]
    value["instanceType"] = "g6.4xlarge"
    value["placement"]["availabilityZone"] = zone
    return made


def subscription(namespace: str, package: str, channel: str, source: str) -> list[dict[str, Any]]:
    group = "operators.coreos.com"
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": f"{group}/v1",
            "kind": "OperatorGroup",
            "metadata": {"name": package, "namespace": namespace},
            "spec": {"targetNamespaces": [namespace]},
        },
        {
            "apiVersion": f"{group}/v1alpha1",
            "kind": "Subscription",
            "metadata": {"name": package, "namespace": namespace},
            "spec": {
                "channel": channel,
                "name": package,
                "source": source,
                "sourceNamespace": names.MARKETPLACE,
            },
        },
    ]


def policy() -> dict[str, Any]:
    parts = ("operator", "daemonsets", "driver", "toolkit", "devicePlugin", "dcgm")
    more = ("dcgmExporter", "nodeStatusExporter", "gfd")
    return {
        "apiVersion": "nvidia.com/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "gpu-cluster-policy"},
        "spec": {part: {} for part in (*parts, *more)},
    }


def test_the_cluster_says_what_it_is(openshift_node: Node) -> None:
    node = openshift_node
    status = shown(node, "", "infrastructure", "cluster")["status"]
    assert status["infrastructureName"] == names.INFRASTRUCTURE
    assert shown(node, "", "ingresses.config.openshift.io", "cluster")["spec"]["domain"] == (
        names.APPS
    )
    history = shown(node, "", "clusterversion", "version")["status"]["history"]
    assert history[0]["version"] == installed.VERSION
    (machine,) = shown(node, names.MACHINES, "machines")["items"]
    assert machine["status"]["nodeRef"]["name"] == "node-1"


def test_a_gpu_node_comes_up_and_its_gpu_later(openshift_node: Node) -> None:
    node = openshift_node
    made = gpu_set(node, f"{names.REGION}a")
    apply(node.kubeconfig, made)
    what = ("machineset", made["metadata"]["name"])
    until(node, names.MACHINES, what, one_ready)
    (joined,) = shown(node, "", "nodes", "-l", GPU_LABEL)["items"]
    assert TAINT in joined["spec"]["taints"]
    assert "nvidia.com/gpu" not in joined["status"]["allocatable"]
    name = joined["metadata"]["name"]
    until(node, "", ("node", name), lambda o: conditions(o)["Ready"] == "True" or None)
    (machine,) = shown(node, names.MACHINES, "machines", "-l", f"{SET}={what[1]}")["items"]
    assert machine["status"]["phase"] == "Running"
    assert machine["status"]["nodeRef"]["name"] == name

    nfd = subscription(names.DISCOVERY, "nfd", "stable", "redhat-operators")
    gpu = subscription(names.GPU_OPERATOR, "gpu-operator-certified", "v26.7", "certified-operators")
    apply(node.kubeconfig, *nfd, *gpu)
    for namespace, package in (
        (names.DISCOVERY, "nfd"),
        (names.GPU_OPERATOR, "gpu-operator-certified"),
    ):
        one = until(node, namespace, ("subscription", package), latest)
        csv = shown(node, namespace, "csv", one["status"]["installedCSV"])
        assert csv["status"]["phase"] == "Succeeded"
    instance = {
        "apiVersion": "nfd.openshift.io/v1",
        "kind": "NodeFeatureDiscovery",
        "metadata": {"name": "nfd-instance", "namespace": names.DISCOVERY},
        "spec": {"operand": {"servicePort": 12000}},
    }
    apply(node.kubeconfig, instance, policy())
    until(node, "", ("clusterpolicy", "gpu-cluster-policy"), state_ready)
    found = until(node, "", ("node", name), with_gpu)
    labels = found["metadata"]["labels"]
    assert labels["nvidia.com/gpu.present"] == "true"
    assert labels["nvidia.com/gpu.product"] == "NVIDIA-L4"
    assert labels["feature.node.kubernetes.io/pci-10de.present"] == "true"
    discovery = shown(node, names.DISCOVERY, "nodefeaturediscovery", "nfd-instance")
    assert conditions(discovery)["Available"] == "True"

    scale = ("-n", names.MACHINES, "scale", "machineset", what[1], "--replicas=0")
    kubectl(node.kubeconfig, *scale)
    kubectl(node.kubeconfig, "wait", f"node/{name}", "--for=delete", "--timeout=60s")


def one_ready(one: dict[str, Any]) -> bool | None:
    return (one.get("status") or {}).get("readyReplicas") == 1 or None


def latest(one: dict[str, Any]) -> dict[str, Any] | None:
    return one if one.get("status", {}).get("state") == "AtLatestKnown" else None


def state_ready(one: dict[str, Any]) -> bool | None:
    return one.get("status", {}).get("state") == "ready" or None


def with_gpu(one: dict[str, Any]) -> dict[str, Any] | None:
    return one if one["status"]["allocatable"].get("nvidia.com/gpu") == "1" else None


def test_a_zone_without_capacity_fails_and_says_so(openshift_node: Node) -> None:
    node = openshift_node
    made = gpu_set(node, names.EMPTY_ZONE)
    apply(node.kubeconfig, made)
    selected = ("machines", "-l", f"{SET}={made['metadata']['name']}")

    def failed(found: dict[str, Any]) -> dict[str, Any] | None:
        states = [one.get("status") or {} for one in found["items"]]
        return next((s for s in states if s.get("phase") == "Failed"), None)

    status = until(node, names.MACHINES, selected, failed)
    assert status["errorReason"] == "InsufficientInstanceCapacity"
    assert "g6.4xlarge" in status["errorMessage"]
    kubectl(node.kubeconfig, "-n", names.MACHINES, "delete", "machineset", "-l", "gpu")


def test_a_channel_that_is_not_offered_is_not_resolved(openshift_node: Node) -> None:
    node = openshift_node
    help_.namespace(node, "elsewhere")
    wrong = subscription("elsewhere", "nfd", "v1.2", "redhat-operators")
    apply(node.kubeconfig, *wrong)

    def unresolved(one: dict[str, Any]) -> str | None:
        found = one.get("status", {}).get("conditions") or [{}]
        return found[0].get("message") if found[0].get("type") == "ResolutionFailed" else None

    said = until(node, "elsewhere", ("subscription", "nfd"), unresolved)
    assert "no operators found in channel v1.2" in said
    offered = shown(node, names.MARKETPLACE, "packagemanifest", "gpu-operator-certified")
    assert json.dumps(offered["status"]["defaultChannel"]) == '"v26.7"'
