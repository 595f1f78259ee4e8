"""The Operator Lifecycle Manager, and the two operators that are installed through it.

Neither Node Feature Discovery nor the GPU operator runs: once they are installed and their custom
resources are there, the labels and the GPU of nodes with such an instance type appear, as theirs.
"""

from __future__ import annotations

import time
from typing import Any

from testcluster.openshift.api import Api, Object
from testcluster.openshift.machines import OWNER, stamp
from testcluster.openshift.names import DISCOVERY, GPU_OPERATOR, MARKETPLACE

PACKAGES = {
    "nfd": ("redhat-operators", "stable", {"stable": "nfd.4.20.0-202511200000"}),
    "gpu-operator-certified": (
        "certified-operators",
        "v26.7",
        {
            "v26.7": "gpu-operator-certified.v26.7.0",
            "stable": "gpu-operator-certified.v26.7.0",
        },
    ),
}
"""What the catalogs offer: the catalog, the default channel, and each channel's newest version."""

INSTALLING = 2.0
"""Seconds that an operator takes to be installed."""

LATE = 3.0
"""Seconds that a GPU takes to appear."""

GPUS = {
    "g6": {"product": "NVIDIA-L4", "memory": "23034"},
    "g4dn": {"product": "Tesla-T4", "memory": "15360"},
}
"""By instance family."""

PCI = "feature.node.kubernetes.io/pci-10de.present"
GPU = "nvidia.com/gpu"


def offered(name: str) -> Object:
    """A package of the catalogs, without its status."""
    return {
        "apiVersion": "packages.operators.coreos.com/v1",
        "kind": "PackageManifest",
        "metadata": {"name": name, "namespace": MARKETPLACE},
        "spec": {},
    }


class Lifecycle:
    """Subscriptions, and what the operators then do."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.since: dict[str, float] = {}

    def start(self) -> None:
        """What the catalogs offer."""
        for name, (catalog, default, channels) in PACKAGES.items():
            self.api.apply(offered(name))
            status = {
                "packageName": name,
                "catalogSource": catalog,
                "catalogSourceNamespace": MARKETPLACE,
                "defaultChannel": default,
                "channels": [
                    {"name": channel, "currentCSV": version}
                    for channel, version in channels.items()
                ],
            }
            self.api.status("PackageManifest", MARKETPLACE, name, status)

    def reconcile(self) -> None:
        """Install what is subscribed to, and let it do its work."""
        for one in self.api.list("Subscription"):
            self._subscription(one)
        self._discovery()
        self._gpus()

    def _elapsed(self, key: str, seconds: float) -> bool:
        now = time.monotonic()
        return now - self.since.setdefault(key, now) >= seconds

    def _subscription(self, one: Object) -> None:
        meta, spec = one["metadata"], one["spec"]
        before = one.get("status") or {}
        problem = self._unresolved(meta["namespace"], spec)
        if problem:
            failed = {
                "type": "ResolutionFailed",
                "status": "True",
                "reason": "ConstraintsNotSatisfiable",
                "message": problem,
            }
            if not before.get("conditions"):
                status: Object = {"conditions": [failed | {"lastTransitionTime": stamp()}]}
                self.api.status("Subscription", meta["namespace"], meta["name"], status)
            return
        channels = PACKAGES[spec["name"]][2]
        version = channels[spec.get("channel") or PACKAGES[spec["name"]][1]]
        state = self._install(one, version)
        status = {"state": state, "currentCSV": version, "conditions": []}
        if state == "AtLatestKnown":
            status["installedCSV"] = version
        plan = {"kind": "InstallPlan", "name": f"install-{meta['uid'][:5]}"}
        status["installPlanRef"] = plan | {"namespace": meta["namespace"]}
        if any(before.get(key) != value for key, value in status.items()):
            status["lastUpdated"] = stamp()
            self.api.status("Subscription", meta["namespace"], meta["name"], status)

    def _unresolved(self, namespace: str, spec: Object) -> str:
        catalog, default, channels = PACKAGES.get(spec["name"], ("", "", {}))
        channel = spec.get("channel") or default
        source = f"{spec['source']}/{spec['sourceNamespace']}"
        if catalog != spec["source"] or spec["sourceNamespace"] != MARKETPLACE:
            return (
                f"constraints not satisfiable: no operators found in package {spec['name']} "
                f"in the catalog referenced by subscription {spec['name']}: {source}"
            )
        if channel not in channels:
            return (
                f"constraints not satisfiable: no operators found in channel {channel} of "
                f"package {spec['name']} in the catalog referenced by subscription {spec['name']}"
            )
        groups = f"/apis/operators.coreos.com/v1/namespaces/{namespace}/operatorgroups"
        if not self.api.http.get(groups).json()["items"]:
            return f"no operator group found in namespace {namespace}"
        return ""

    def _install(self, one: Object, version: str) -> str:
        """The install plan and the operator; gives the subscription's state."""
        meta = one["metadata"]
        namespace, name = meta["namespace"], f"install-{meta['uid'][:5]}"
        manual = one["spec"].get("installPlanApproval") == "Manual"
        plan = self.api.get("InstallPlan", namespace, name)
        if plan is None:
            plan = self.api.apply(
                {
                    "apiVersion": "operators.coreos.com/v1alpha1",
                    "kind": "InstallPlan",
                    "metadata": {"name": name, "namespace": namespace},
                    "spec": {
                        "approval": "Manual" if manual else "Automatic",
                        "approved": not manual,
                        "clusterServiceVersionNames": [version],
                    },
                }
            )
        if not plan["spec"].get("approved"):
            return "UpgradePending"
        found = self.api.get("ClusterServiceVersion", namespace, version)
        if found is None:
            found = self.api.apply(
                {
                    "apiVersion": "operators.coreos.com/v1alpha1",
                    "kind": "ClusterServiceVersion",
                    "metadata": {"name": version, "namespace": namespace},
                    "spec": {"displayName": one["spec"]["name"]},
                }
            )
        done = self._elapsed(found["metadata"]["uid"], INSTALLING)
        phase = "Succeeded" if done else "Installing"
        if (found.get("status") or {}).get("phase") != phase:
            change = {"phase": phase, "reason": "InstallSucceeded" if done else "InstallWaiting"}
            self.api.status("ClusterServiceVersion", namespace, version, change)
        return "AtLatestKnown" if done else "UpgradePending"

    def _installed(self, namespace: str, package: str) -> bool:
        found = self.api.list("ClusterServiceVersion", namespace)
        return any(
            one["spec"].get("displayName") == package
            and (one.get("status") or {}).get("phase") == "Succeeded"
            for one in found
        )

    def _nodes(self) -> list[tuple[Object, Object]]:
        """The nodes with a GPU, and what it is."""
        found = []
        for node in self.api.list("Node"):
            labels = node["metadata"].get("labels", {})
            family = labels.get("node.kubernetes.io/instance-type", "").partition(".")[0]
            if OWNER in node["metadata"].get("annotations", {}) and family in GPUS:
                found.append((node, GPUS[family]))
        return found

    def _discovery(self) -> None:
        asked = self.api.list("NodeFeatureDiscovery", DISCOVERY)
        if not asked or not self._installed(DISCOVERY, "nfd"):
            return
        for one in asked:
            if not (one.get("status") or {}).get("conditions"):
                states = {"Available": True, "Upgradeable": True, "Progressing": False}
                states["Degraded"] = False
                conditions = [_condition(kind, true, kind) for kind, true in states.items()]
                name = one["metadata"]["name"]
                self.api.status("NodeFeatureDiscovery", DISCOVERY, name, {"conditions": conditions})
        for node, _ in self._nodes():
            self._label(node, {PCI: "true"})

    def _gpus(self) -> None:
        policies = self.api.list("ClusterPolicy")
        if not policies or not self._installed(GPU_OPERATOR, "gpu-operator-certified"):
            return
        policy = policies[0]
        tolerated = {
            toleration.get("key")
            for toleration in (policy["spec"].get("daemonsets") or {}).get("tolerations") or []
        } | {GPU}
        ready = True
        for node, gpu in self._nodes():
            taints = node["spec"].get("taints") or []
            refused = [
                t for t in taints if t["effect"] != "PreferNoSchedule" and t["key"] not in tolerated
            ]
            seen = node["metadata"]["labels"].get(PCI) == "true"
            # The drivers' pods go only where the card was discovered, and they tolerate the taint.
            if not seen or refused:
                continue
            if not self._elapsed(f"gpu-{node['metadata']['uid']}", LATE):
                ready = False
                continue
            labels = {f"{GPU}.{key}": value for key, value in gpu.items()}
            self._label(node, labels | {f"{GPU}.present": "true", f"{GPU}.count": "1"})
            if node["status"].get("allocatable", {}).get(GPU) != "1":
                has: dict[str, Any] = {GPU: "1"}
                status = {"capacity": has, "allocatable": has}
                self.api.status("Node", None, node["metadata"]["name"], status)
        state = "ready" if ready else "notReady"
        if (policy.get("status") or {}).get("state") != state:
            conditions = [
                _condition("Ready", ready, "Reconciled" if ready else "OperandNotReady"),
                _condition("Error", False, "Ready"),
            ]
            status = {"state": state, "namespace": GPU_OPERATOR, "conditions": conditions}
            self.api.status("ClusterPolicy", None, policy["metadata"]["name"], status)

    def _label(self, node: Object, labels: dict[str, str]) -> None:
        if not labels.items() <= node["metadata"]["labels"].items():
            change = {"metadata": {"labels": labels}}
            self.api.patch("Node", None, node["metadata"]["name"], change)


def _condition(kind: str, true: bool, reason: str) -> Object:
    return {
        "type": kind,
        "status": "True" if true else "False",
        "reason": reason,
        "message": "",
        "lastTransitionTime": stamp(),
    }
