"""What an OpenShift on AWS has when it was just installed, as far as the profile needs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from testcluster.kubectl import apply, kubectl
from testcluster.openshift.machines import OWNER, SET
from testcluster.openshift.names import APPS, INFRASTRUCTURE, MACHINES, REGION
from testcluster.place import NAME, URL

VERSION = "4.20.6"
WORKERS = f"{INFRASTRUCTURE}-worker-{REGION}a"


def install(kubeconfig: Path) -> None:
    """Make it all; the real node is the one worker."""
    apply(kubeconfig, _infrastructure(), _version(), _ingress(), workers(), _first_machine())
    _status(kubeconfig, "infrastructure/cluster", _platform())
    _status(kubeconfig, "clusterversion/version", _history())
    first = f"{WORKERS}-first"
    node = {"apiVersion": "v1", "kind": "Node", "name": NAME}
    _status(kubeconfig, f"machine/{first}", {"phase": "Running", "nodeRef": node}, MACHINES)
    label = ("label", "node", NAME, "node-role.kubernetes.io/worker=", "--overwrite")
    kubectl(kubeconfig, *label)
    annotate = ("annotate", "node", NAME, f"{OWNER}={MACHINES}/{first}", "--overwrite")
    kubectl(kubeconfig, *annotate)


def _status(kubeconfig: Path, what: str, status: dict[str, Any], namespace: str = "") -> None:
    where = ("--namespace", namespace) if namespace else ()
    patch = json.dumps({"status": status})
    words = ("patch", what, "--type=merge", "--subresource=status", "-p", patch)
    kubectl(kubeconfig, *where, *words)


def _infrastructure() -> dict[str, Any]:
    return {
        "apiVersion": "config.openshift.io/v1",
        "kind": "Infrastructure",
        "metadata": {"name": "cluster"},
        "spec": {"cloudConfig": {"name": ""}, "platformSpec": {"type": "AWS", "aws": {}}},
    }


def _platform() -> dict[str, Any]:
    return {
        "infrastructureName": INFRASTRUCTURE,
        "apiServerURL": URL,
        "apiServerInternalURI": URL,
        "controlPlaneTopology": "SingleReplica",
        "infrastructureTopology": "SingleReplica",
        "platform": "AWS",
        "platformStatus": {"type": "AWS", "aws": {"region": REGION}},
        "etcdDiscoveryDomain": "",
    }


def _version() -> dict[str, Any]:
    return {
        "apiVersion": "config.openshift.io/v1",
        "kind": "ClusterVersion",
        "metadata": {"name": "version"},
        "spec": {"clusterID": "00000000-0000-4000-8000-000000000000", "channel": "stable-4.20"},
    }


def _history() -> dict[str, Any]:
    then = "2026-11-01T00:00:00Z"
    image = "registry.test/release:1"
    done = {"type": "Available", "status": "True", "lastTransitionTime": then}
    update = {
        "state": "Completed",
        "version": VERSION,
        "image": image,
        "startedTime": then,
        "completionTime": then,
        "verified": True,
    }
    return {
        "desired": {"version": VERSION, "image": image},
        "history": [update],
        "observedGeneration": 1,
        "versionHash": "",
        "availableUpdates": [],
        "conditions": [done],
    }


def _ingress() -> dict[str, Any]:
    return {
        "apiVersion": "config.openshift.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "cluster"},
        "spec": {"domain": APPS},
    }


def workers(zone: str = f"{REGION}a") -> dict[str, Any]:
    """A MachineSet of ordinary workers, as the installer writes it."""
    name = f"{INFRASTRUCTURE}-worker-{zone}"
    cluster = {"machine.openshift.io/cluster-api-cluster": INFRASTRUCTURE}
    role = {
        "machine.openshift.io/cluster-api-machine-role": "worker",
        "machine.openshift.io/cluster-api-machine-type": "worker",
    }
    own = f"kubernetes.io/cluster/{INFRASTRUCTURE}"
    disk = {"encrypted": True, "volumeSize": 120, "volumeType": "gp3"}
    value = {
        "apiVersion": "machine.openshift.io/v1beta1",
        "kind": "AWSMachineProviderConfig",
        "ami": {"id": "ami-0123456789abcdef0"},
        "blockDevices": [{"ebs": disk}],
        "credentialsSecret": {"name": "aws-cloud-credentials"},
        "deviceIndex": 0,
        "iamInstanceProfile": {"id": f"{INFRASTRUCTURE}-worker-profile"},
        "instanceType": "m6i.2xlarge",
        "metadataServiceOptions": {},
        "placement": {"availabilityZone": zone, "region": REGION},
        "securityGroups": [
            {"filters": [{"name": "tag:Name", "values": [f"{INFRASTRUCTURE}-node"]}]},
            {"filters": [{"name": "tag:Name", "values": [f"{INFRASTRUCTURE}-lb"]}]},
        ],
        "subnet": {
            "filters": [{"name": "tag:Name", "values": [f"{INFRASTRUCTURE}-subnet-private-{zone}"]}]
        },
        "tags": [{"name": own, "value": "owned"}],
        "userDataSecret": {"name": "worker-user-data"},
    }
    return {
        "apiVersion": "machine.openshift.io/v1beta1",
        "kind": "MachineSet",
        "metadata": {
            "name": name,
            "namespace": MACHINES,
            "labels": cluster,
            "annotations": {
                "machine.openshift.io/GPU": "0",
                "machine.openshift.io/memoryMb": "32768",
                "machine.openshift.io/vCPU": "8",
            },
        },
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": cluster | {SET: name}},
            "template": {
                "metadata": {"labels": cluster | role | {SET: name}},
                "spec": {
                    "lifecycleHooks": {},
                    "metadata": {},
                    "providerSpec": {"value": value},
                },
            },
        },
    }


def _first_machine() -> dict[str, Any]:
    template = workers()["spec"]["template"]
    return {
        "apiVersion": "machine.openshift.io/v1beta1",
        "kind": "Machine",
        "metadata": {
            "name": f"{WORKERS}-first",
            "namespace": MACHINES,
            "labels": template["metadata"]["labels"],
        },
        "spec": template["spec"],
    }
