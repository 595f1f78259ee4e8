"""What is made of a worker's MachineSet, and what is said of machines, nodes and rights."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from workshop.core.errors import SettingsError
from workshop.parts.gpu_nodes import LABELS, TAINT
from workshop.targets.base import Machines
from workshop.targets.cluster import objects, permissions
from workshop.targets.cluster.machines import machinesets, nodes
from workshop.targets.cluster.permissions import Right

MEMBER = "machine.openshift.io/cluster-api-machineset"
WANTED = Machines("g6.4xlarge", replicas=2, labels=LABELS, taint=TAINT)


def worker(zone: str = "us-east-2a", replicas: int = 1) -> dict[str, Any]:
    name = f"ocp-7xk2p-worker-{zone}"
    labels = {"machine.openshift.io/cluster-api-cluster": "ocp-7xk2p", MEMBER: name}
    role = {"machine.openshift.io/cluster-api-machine-role": "worker"}
    value = {
        "kind": "AWSMachineProviderConfig",
        "instanceType": "m6i.2xlarge",
        "ami": {"id": "ami-1"},
        "placement": {"availabilityZone": zone},
        "subnet": {"id": f"subnet-{zone}"},
    }
    return {
        "metadata": {
            "name": name,
            "uid": "u",
            "resourceVersion": "7",
            "creationTimestamp": "2026-11-25T00:00:00Z",
            "managedFields": [{}],
            "annotations": {"machine.openshift.io/vCPU": "8"},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels | role},
                "spec": {
                    "metadata": {"labels": {"of": "the worker"}},
                    "taints": [{"key": "worker", "effect": "NoSchedule"}],
                    "providerSpec": {"value": value},
                },
            },
        },
        "status": {"readyReplicas": 1},
    }


def test_a_clone_is_the_worker_but_for_type_name_label_and_taint() -> None:
    model = worker()
    before = copy.deepcopy(model)
    made = machinesets.clone(model, WANTED, "attendee-1")
    assert model == before
    assert made == {
        "apiVersion": "machine.openshift.io/v1beta1",
        "kind": "MachineSet",
        "metadata": {
            "name": "ocp-7xk2p-gpu-us-east-2a",
            "namespace": "openshift-machine-api",
            "labels": {
                "node-role.kubernetes.io/gpu": "",
                "cluster-api/accelerator": "nvidia-gpu",
                "app.kubernetes.io/name": "gpu-nodes",
                "app.kubernetes.io/component": "gpu-nodes",
                "app.kubernetes.io/part-of": "agent-workshop-kit",
                "app.kubernetes.io/managed-by": "agent-workshop-kit",
                "machine.openshift.io/cluster-api-cluster": "ocp-7xk2p",
                "agent-workshop-kit/namespace": "attendee-1",
            },
        },
        "spec": {
            "replicas": 2,
            "selector": {
                "matchLabels": {
                    "machine.openshift.io/cluster-api-cluster": "ocp-7xk2p",
                    MEMBER: "ocp-7xk2p-gpu-us-east-2a",
                }
            },
            "template": {
                "metadata": {
                    "labels": {
                        "machine.openshift.io/cluster-api-cluster": "ocp-7xk2p",
                        MEMBER: "ocp-7xk2p-gpu-us-east-2a",
                        "machine.openshift.io/cluster-api-machine-role": "worker",
                    }
                },
                "spec": {
                    "metadata": {
                        "labels": {
                            "of": "the worker",
                            "node-role.kubernetes.io/gpu": "",
                            "cluster-api/accelerator": "nvidia-gpu",
                        }
                    },
                    "taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
                    "providerSpec": {
                        "value": {
                            "kind": "AWSMachineProviderConfig",
                            "instanceType": "g6.4xlarge",
                            "ami": {"id": "ami-1"},
                            "placement": {"availabilityZone": "us-east-2a"},
                            "subnet": {"id": "subnet-us-east-2a"},
                        }
                    },
                },
            },
        },
    }


def test_the_worker_of_the_zone_is_the_model_and_those_with_machines_come_first() -> None:
    sets = [worker("us-east-2a", 0), worker("us-east-2c"), worker("us-east-2b")]
    models = machinesets.workers(sets)
    assert machinesets.zones(models) == ["us-east-2b", "us-east-2c", "us-east-2a"]
    assert machinesets.in_zone(models, "") is sets[2]
    assert machinesets.in_zone(models, "us-east-2a") is sets[0]
    with pytest.raises(SettingsError) as unknown:
        machinesets.in_zone(models, "us-east-1a")
    assert unknown.value.hint == 'set ZONE = "us-east-2b"'


def test_a_special_machine_is_the_last_model() -> None:
    special, plain = worker("us-east-2a"), worker("us-east-2b", replicas=0)
    del plain["spec"]["template"]["spec"]["taints"]
    assert machinesets.workers([special, plain]) == [plain, special]


def test_the_kits_own_and_the_control_planes_machine_sets_are_no_model() -> None:
    own = machinesets.clone(worker(), WANTED, "attendee-1")
    other = worker()
    other["spec"]["template"]["metadata"]["labels"].update(
        {"machine.openshift.io/cluster-api-machine-role": "infra"}
    )
    with pytest.raises(SettingsError) as none:
        machinesets.workers([own, other])
    assert none.value.what == "There is no worker MachineSet to clone."
    assert none.value.state == "MachineSets: ocp-7xk2p-gpu-us-east-2a, ocp-7xk2p-worker-us-east-2a"


def test_another_cloud_and_a_worker_without_its_cluster_are_refused() -> None:
    azure = worker()
    azure["spec"]["template"]["spec"]["providerSpec"]["value"]["kind"] = "AzureMachineProviderSpec"
    with pytest.raises(SettingsError, match="only on AWS") as cloudy:
        machinesets.workers([azure])
    assert "the workers' providerSpec is AzureMachineProviderSpec" in cloudy.value.state
    bare = worker()
    del bare["spec"]["template"]["metadata"]["labels"]["machine.openshift.io/cluster-api-cluster"]
    with pytest.raises(SettingsError, match="cannot be cloned"):
        machinesets.clone(bare, WANTED, "attendee-1")


def test_prices_say_gpu_memory_region_and_that_they_are_to_be_checked() -> None:
    assert machinesets.priced("g6.4xlarge", 1) == (
        "1 x g6.4xlarge with one NVIDIA L4 (24 GB): about 1.32 USD an hour in all, on demand in "
        "us-east-1; check it for your region"
    )
    assert "NVIDIA T4 (16 GB): about 1.05 USD" in machinesets.priced("g4dn.xlarge", 2)
    assert machinesets.priced("p5.48xlarge", 1).endswith("does not know its GPU and its price")


def test_nodes_that_offer_a_gpu_are_found_with_label_and_taint() -> None:
    ready = {"type": "Ready", "status": "True"}
    gpu = {
        "metadata": {"name": "b", "labels": {"nvidia.com/gpu.product": "NVIDIA-L4"}},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
        "status": {"conditions": [ready], "allocatable": {"nvidia.com/gpu": "1"}},
    }
    driverless = {
        "metadata": {"name": "a"},
        "spec": {},
        "status": {"conditions": [ready], "allocatable": {"nvidia.com/gpu": "0"}},
    }
    new = {"metadata": {"name": "c"}, "spec": {}}
    (found,) = nodes.accelerators([gpu, driverless, new])
    assert (found.node, found.ready, found.count) == ("b", True, 1)
    assert (found.product, found.taints) == ("NVIDIA-L4", ("nvidia.com/gpu:NoSchedule",))
    assert [objects.is_ready(one) for one in (gpu, driverless, new)] == [True, True, False]


def test_a_user_gets_edit_or_admin_as_what_is_missing_needs() -> None:
    pods = [Right("", "pods", "get", "a"), Right("", "pods", "list", "a")]
    (bound,) = permissions.binding("kube:admin", "a", pods)
    assert bound["roleRef"]["name"] == "edit"
    assert bound["subjects"] == [
        {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "kube:admin"}
    ]
    assert bound["metadata"] == {"name": "agent-workshop-kit-edit-kube-admin", "namespace": "a"}
    assert permissions.command(bound) == (
        "kubectl create rolebinding agent-workshop-kit-edit-kube-admin --clusterrole=edit "
        "--user='kube:admin' --namespace=a"
    )
    roles = Right("rbac.authorization.k8s.io", "roles", "create", "a")
    (bound,) = permissions.binding("kube:admin", "a", [*pods, roles])
    assert bound["roleRef"]["name"] == "admin"
    assert permissions.short(pods) == "get, list pods"


def test_only_openshift_speaks_of_projects() -> None:
    lacks = [Right("", "pods", "get", "a")]
    with_projects = permissions.explained("me", "a", lacks, openshift=True)
    assert "An attendee is administrator of a project of their own: oc new-project" in with_projects
    assert "oc new-project" not in permissions.explained("me", "a", lacks, openshift=False)


def test_the_operators_and_their_instances_are_the_catalogues() -> None:
    folder = objects.MANIFESTS / "gpu-nodes"
    built = objects.build(folder / "operators")
    spaces = [one for one in built if one["kind"] == "Namespace"]
    assert {one["metadata"]["name"] for one in spaces} == {"openshift-nfd", "nvidia-gpu-operator"}
    for one in spaces:
        assert one["metadata"]["labels"]["openshift.io/cluster-monitoring"] == "true"
    subscribed = {
        one["spec"]["name"]: (
            one["metadata"]["namespace"],
            one["spec"]["channel"],
            one["spec"]["source"],
        )
        for one in built
        if one["kind"] == "Subscription"
    }
    assert subscribed == {
        "nfd": ("openshift-nfd", "stable", "redhat-operators"),
        "gpu-operator-certified": ("nvidia-gpu-operator", "v26.7", "certified-operators"),
    }
    for one in built:
        if one["kind"] == "OperatorGroup":
            assert one["spec"]["targetNamespaces"] == [one["metadata"]["namespace"]]
    instances = objects.build(folder / "instances")
    assert {objects.key(one) for one in instances} == {
        ("NodeFeatureDiscovery", "nfd-instance"),
        ("ClusterPolicy", "gpu-cluster-policy"),
    }
    for one in (*built, *instances):
        assert one["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "agent-workshop-kit"
