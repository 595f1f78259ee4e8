"""Simulates a cloud for the tests: machine-api, OLM and the GPU operator, by setting statuses."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from workshop.core.errors import WorkshopError
from workshop.core.wait import NotYet, wait_for
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.errors import Refused

from testcluster.cloud_kinds import BROUGHT, open_crd

SPACE = "openshift-machine-api"
MACHINE_API = "machine.openshift.io/v1beta1"
MEMBER = "machine.openshift.io/cluster-api-machineset"
INFRASTRUCTURE = "ocp-7xk2p"
ZONES = ("us-east-2a", "us-east-2b", "us-east-2c")

Object = dict[str, Any]


def worker(zone: str) -> Object:
    """A worker MachineSet as the installer makes one on AWS, with what must not be cloned."""
    name = f"{INFRASTRUCTURE}-worker-{zone}"
    labels = {"machine.openshift.io/cluster-api-cluster": INFRASTRUCTURE, MEMBER: name}
    member = {
        **labels,
        "machine.openshift.io/cluster-api-machine-role": "worker",
        "machine.openshift.io/cluster-api-machine-type": "worker",
    }
    provider = {
        "apiVersion": "machine.openshift.io/v1beta1",
        "kind": "AWSMachineProviderConfig",
        "ami": {"id": "ami-0123456789"},
        "instanceType": "m6i.2xlarge",
        "placement": {"region": zone[:-1], "availabilityZone": zone},
        "subnet": {"filters": [{"name": "tag:Name", "values": [f"private-{zone}"]}]},
        "userDataSecret": {"name": "worker-user-data"},
    }
    return {
        "apiVersion": MACHINE_API,
        "kind": "MachineSet",
        "metadata": {
            "name": name,
            "namespace": SPACE,
            "labels": {"machine.openshift.io/cluster-api-cluster": INFRASTRUCTURE},
            "annotations": {"machine.openshift.io/vCPU": "8", "machine.openshift.io/GPU": "0"},
        },
        "spec": {
            "replicas": 0 if zone == "us-east-2a" else 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": member},
                "spec": {"metadata": {}, "providerSpec": {"value": provider}},
            },
        },
    }


@dataclass
class Cloud:
    """Acts on what is there, a step at a time, in a thread of its own.

    Args:
        api: As the administrator.
        refuses: The status that Machines of a zone get instead of a node.
        stalls: Whether machines stay Provisioning.
        driverless: Whether nodes offer no GPU.
        policy: The state of the ClusterPolicy.
        broken: The message of a ClusterServiceVersion that fails.
    """

    api: Api
    refuses: dict[str, Object] = field(default_factory=dict)
    stalls: bool = False
    driverless: bool = False
    policy: str = "ready"
    broken: str = ""
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Cloud:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)
        assert not self.errors, self.errors

    def sets(self) -> list[Object]:
        return self.api.list(MACHINE_API, "MachineSet", namespace=SPACE)

    def machines(self) -> list[Object]:
        return self.api.list(MACHINE_API, "Machine", namespace=SPACE)

    def _run(self) -> None:
        def step() -> object:
            if self._over.is_set():
                return True
            for act in (self._members, self._install, self._join, self._offer):
                try:
                    act()
                except Refused as error:
                    # Somebody was quicker: the next step sees what is there then.
                    if error.code not in (404, 409):
                        self.errors.append(str(error))
                except WorkshopError as error:
                    self.errors.append(str(error))
            return NotYet("")

        wait_for("the test's end", step, timeout=600, every=0.05)

    def _members(self) -> None:
        """A MachineSet's Machines, as many as it wants; those without one go."""
        every = {one["metadata"]["name"]: one for one in self.sets()}
        gpu = {name: one for name, one in every.items() if "-gpu-" in name}
        machines = self.machines()
        for machine in machines:
            if machine["metadata"]["labels"].get(MEMBER) not in gpu:
                self._end(machine)
        for name, one in gpu.items():
            template = one["spec"]["template"]
            have = [m for m in machines if m["metadata"]["labels"].get(MEMBER) == name]
            for _ in range(one["spec"]["replicas"] - len(have)):
                self.api.create(
                    {
                        "apiVersion": MACHINE_API,
                        "kind": "Machine",
                        "metadata": {
                            "generateName": f"{name}-",
                            "namespace": SPACE,
                            "labels": template["metadata"]["labels"],
                        },
                        "spec": template["spec"],
                    }
                )
            ready = sum(m.get("status", {}).get("phase") == "Running" for m in have)
            if one.get("status", {}).get("readyReplicas", 0) != ready:
                self.status(one, {"replicas": len(have), "readyReplicas": ready})

    def _end(self, machine: Object) -> None:
        node = machine.get("status", {}).get("nodeRef", {}).get("name")
        if node:
            self.api.delete({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
        self.api.delete(machine)

    def _install(self) -> None:
        """OLM: a Subscription gets its version, and the version its kinds."""
        subscription = ("operators.coreos.com/v1alpha1", "Subscription")
        for one in self.api.list(*subscription, namespace=None):
            package = one["spec"]["name"]
            if one.get("status", {}).get("state") == "AtLatestKnown" or package not in BROUGHT:
                continue
            plural, group, version, kind = BROUGHT[package]
            scope = "Cluster" if kind == "ClusterPolicy" else "Namespaced"
            name, namespace = f"{package}.v1.0.0", one["metadata"]["namespace"]
            csv = {
                "apiVersion": "operators.coreos.com/v1alpha1",
                "kind": "ClusterServiceVersion",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {},
            }
            made = self.api.apply(csv)
            if self.broken:
                self.status(made, {"phase": "Failed", "message": self.broken})
            else:
                self.api.apply(open_crd(plural, group, version, kind, scope))
                self.status(made, {"phase": "Succeeded"})
            self.status(one, {"state": "AtLatestKnown", "installedCSV": name})

    def _join(self) -> None:
        """The cloud and the kubelet: a Machine becomes a node, with what its spec says."""
        for machine in self.machines():
            status = machine.get("status", {})
            zone = machine["spec"]["providerSpec"]["value"]["placement"]["availabilityZone"]
            if not status.get("phase"):
                self.status(machine, {"phase": "Provisioning"})
            elif status["phase"] == "Provisioning" and zone in self.refuses:
                if not (status.get("errorMessage") or status.get("providerStatus")):
                    self.status(machine, self.refuses[zone])
            elif status["phase"] == "Provisioning" and not self.stalls:
                name = f"ip-{machine['metadata']['name'][-5:]}"
                self._node(name, machine["spec"])
                self.status(machine, {"phase": "Running", "nodeRef": {"name": name}})

    def _node(self, name: str, spec: Object) -> None:
        self.api.apply(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": spec.get("metadata", {}).get("labels", {})},
                "spec": {"taints": spec.get("taints", [])},
            }
        )
        node = self.api.get("v1", "Node", name)
        assert node
        self.status(node, {"conditions": [_ready()]})

    def _offer(self) -> None:
        """The GPU operator: nodes of ours offer a GPU once there is a ClusterPolicy."""
        policies = self.api.list("nvidia.com/v1", "ClusterPolicy")
        if not policies:
            self.api.discover()
            return
        for node in self.api.list("v1", "Node", "cluster-api/accelerator"):
            offered = node.get("status", {}).get("allocatable", {}).get("nvidia.com/gpu")
            if not offered and not self.driverless:
                offer_gpu(self.api, node)
        if policies[0].get("status", {}).get("state") != self.policy:
            self.status(policies[0], {"state": self.policy})

    def status(self, thing: Object, status: Object) -> None:
        """Set these fields of an object's status."""
        set_status(self.api, thing, status)


def offer_gpu(api: Api, node: Object) -> None:
    """Let a node be Ready, and offer one GPU."""
    offered = {"cpu": "16", "memory": "64Gi", "pods": "100", "nvidia.com/gpu": "1"}
    status = {"capacity": offered, "allocatable": offered, "conditions": [_ready()]}
    set_status(api, {"apiVersion": "v1", "kind": "Node"} | node, status)


def set_status(api: Api, thing: Object, status: Object) -> None:
    """Set these fields of an object's status, as its controller would."""
    thing = {"apiVersion": "v1", "kind": "Node"} | thing
    kind = api.kind(thing["apiVersion"], thing["kind"])
    if kind is None:
        api.discover()
        kind = api.kind(thing["apiVersion"], thing["kind"])
    assert kind
    meta = thing["metadata"]
    root = "/apis" if "/" in kind.api_version else "/api"
    within = f"/namespaces/{meta['namespace']}" if kind.namespaced else ""
    api.request(
        "PATCH",
        f"{root}/{kind.api_version}{within}/{kind.plural}/{meta['name']}/status",
        body={"status": status},
        headers={"Content-Type": "application/merge-patch+json"},
        what=f"set the status of {meta['name']}",
    )


def _ready() -> Object:
    return {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "posting"}
