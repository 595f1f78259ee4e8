"""Machines: a MachineSet makes Machines, and a Machine that runs has a Node.

The nodes are objects alone: they are kept Ready, but nothing runs on them, and they take no pod
(``pods: 0``). A test that wants a GPU pod to run lends the real node the GPU: ``lend_gpu``.
"""

from __future__ import annotations

import datetime
import json
import random
import string
import time
from pathlib import Path
from typing import Any

from testcluster.kubectl import kubectl
from testcluster.openshift.api import Api, Object, owned_by
from testcluster.openshift.names import EMPTY_ZONE, MACHINES, REGION
from testcluster.place import NAME

OWNER = "machine.openshift.io/machine"
SET = "machine.openshift.io/cluster-api-machineset"
STEP = 2.0
"""Seconds that a machine is in each phase. On AWS the whole takes some minutes."""

RENEW = 10.0
"""Seconds between two signs of life of a node."""

TYPES = {
    "m6i.2xlarge": ("8", "32Gi"),
    "g4dn.xlarge": ("4", "16Gi"),
    "g6.4xlarge": ("16", "64Gi"),
}
"""CPUs and memory."""

INSUFFICIENT = "InsufficientInstanceCapacity"


class MachineApi:
    """The machine-api's controllers, on a cloud that has everything but in one zone."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.since: dict[tuple[str, str], float] = {}
        self.renewed: dict[str, float] = {}

    def reconcile(self) -> None:
        """Machines for the sets, nodes for the machines, and their signs of life."""
        machines = self.api.list("Machine", MACHINES)
        for one in self.api.list("MachineSet", MACHINES):
            if not one["metadata"].get("deletionTimestamp"):
                self._scale(one, machines)
        for machine in machines:
            self._advance(machine)
        names = {f"{MACHINES}/{machine['metadata']['name']}" for machine in machines}
        for node in self.api.list("Node"):
            owner = node["metadata"].get("annotations", {}).get(OWNER)
            if owner is None or node["metadata"]["name"] == NAME:
                continue
            if owner in names:
                self._live(node["metadata"]["name"])
            else:
                self.api.delete("Node", None, node["metadata"]["name"])

    def _scale(self, one: Object, machines: list[Object]) -> None:
        spec = one["spec"]
        selected = (spec.get("selector") or {}).get("matchLabels") or {}
        mine = [
            machine
            for machine in machines
            if selected
            and selected.items() <= machine["metadata"].get("labels", {}).items()
            and not machine["metadata"].get("deletionTimestamp")
        ]
        wanted = spec.get("replicas", 1)
        for _ in range(wanted - len(mine)):
            self.api.create(_machine(one))
        # Those that never came up go first.
        mine.sort(key=lambda machine: (machine.get("status") or {}).get("phase") != "Failed")
        for machine in mine[: max(0, len(mine) - wanted)]:
            self.api.delete("Machine", MACHINES, machine["metadata"]["name"])
        running = sum((machine.get("status") or {}).get("phase") == "Running" for machine in mine)
        status = {
            "replicas": len(mine),
            "fullyLabeledReplicas": len(mine),
            "readyReplicas": running,
            "availableReplicas": running,
            "observedGeneration": one["metadata"]["generation"],
        }
        before = one.get("status") or {}
        if any(before.get(key) != value for key, value in status.items()):
            self.api.status("MachineSet", MACHINES, one["metadata"]["name"], status)

    def _advance(self, machine: Object) -> None:
        """One phase further, if it has been long enough in this one."""
        meta, status = machine["metadata"], machine.get("status") or {}
        phase = status.get("phase", "")
        if phase in ("Running", "Failed") or meta.get("deletionTimestamp"):
            return
        now = time.monotonic()
        if now - self.since.setdefault((meta["uid"], phase), now) < (STEP if phase else 0):
            return
        provider = machine["spec"].get("providerSpec", {}).get("value") or {}
        zone = (provider.get("placement") or {}).get("availabilityZone", "")
        if not phase:
            change: Object = {"phase": "Provisioning"}
        elif phase == "Provisioning" and zone == EMPTY_ZONE:
            kind = provider.get("instanceType")
            change = {
                "phase": "Failed",
                "errorReason": INSUFFICIENT,
                "errorMessage": f"error launching instance: {INSUFFICIENT}: We currently do not "
                f"have sufficient {kind} capacity in the Availability Zone you requested ({zone}).",
            }
        elif phase == "Provisioning":
            change = {"phase": "Provisioned"}
        else:
            node = self._join(machine, provider, zone)
            change = {
                "phase": "Running",
                "nodeRef": {"apiVersion": "v1", "kind": "Node", "name": node["metadata"]["name"]},
            }
        self.api.status("Machine", MACHINES, meta["name"], change | {"lastUpdated": stamp()})

    def _join(self, machine: Object, provider: Object, zone: str) -> Object:
        """The machine's node."""
        meta = machine["metadata"]
        number = int(meta["uid"][:4], 16)
        name = f"ip-10-0-{number // 256}-{number % 256}.{REGION}.compute.internal"
        found = self.api.get("Node", None, name)
        if found:
            return found
        kind = provider.get("instanceType", "")
        labels = {
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": kind,
            "node-role.kubernetes.io/worker": "",
            "topology.kubernetes.io/region": REGION,
            "topology.kubernetes.io/zone": zone,
        }
        spec = machine["spec"]
        node = self.api.create(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": name,
                    "labels": labels | ((spec.get("metadata") or {}).get("labels") or {}),
                    "annotations": {OWNER: f"{MACHINES}/{meta['name']}"},
                },
                "spec": {
                    "providerID": f"aws:///{zone}/i-{meta['uid'].replace('-', '')[:17]}",
                    "taints": spec.get("taints") or [],
                },
            }
        )
        cpu, memory = TYPES.get(kind, ("4", "16Gi"))
        # A scheduler that put a pod here would put it where nothing runs.
        size = {"cpu": cpu, "memory": memory, "pods": "0"}
        self.api.status("Node", None, name, {"capacity": size, "allocatable": size})
        self._live(name)
        return node

    def _live(self, name: str) -> None:
        """What a kubelet says every few seconds."""
        now = time.monotonic()
        if now - self.renewed.get(name, -RENEW) < RENEW:
            return
        self.renewed[name] = now
        reasons = {
            "Ready": ("True", "KubeletReady"),
            "MemoryPressure": ("False", "KubeletHasSufficientMemory"),
            "DiskPressure": ("False", "KubeletHasNoDiskPressure"),
            "PIDPressure": ("False", "KubeletHasSufficientPID"),
        }
        conditions = [
            {"type": kind, "status": status, "reason": reason, "lastHeartbeatTime": stamp()}
            for kind, (status, reason) in reasons.items()
        ]
        self.api.status("Node", None, name, {"conditions": conditions})
        micro = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.api.apply(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": "kube-node-lease"},
                "spec": {
                    "holderIdentity": name,
                    "leaseDurationSeconds": 40,
                    "renewTime": micro,
                },
            }
        )


def _machine(one: Object) -> Object:
    """A new machine of a set."""
    name, template = one["metadata"]["name"], one["spec"]["template"]
    letters = random.choices(string.ascii_lowercase + string.digits, k=5)  # noqa: S311
    return {
        "apiVersion": "machine.openshift.io/v1beta1",
        "kind": "Machine",
        "metadata": {
            "name": f"{name}-{''.join(letters)}",
            "namespace": MACHINES,
            "labels": (template.get("metadata") or {}).get("labels") or {},
            "ownerReferences": [owned_by(one)],
        },
        "spec": template.get("spec") or {},
    }


def lend_gpu(kubeconfig: Path, labels: dict[str, str]) -> None:
    """Give the real node one ``nvidia.com/gpu`` and these labels, so that a GPU pod runs there."""
    gpu = {"nvidia.com/gpu": "1"}
    status: dict[str, Any] = {"status": {"capacity": gpu, "allocatable": gpu}}
    patch = ("patch", "node", NAME, "--type=merge", "-p")
    kubectl(kubeconfig, *patch, json.dumps(status), "--subresource=status")
    kubectl(kubeconfig, *patch, json.dumps({"metadata": {"labels": labels}}))


def stamp() -> str:
    """The time, as Kubernetes writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
