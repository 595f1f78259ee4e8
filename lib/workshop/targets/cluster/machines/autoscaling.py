"""GPU nodes that come and go by themselves: MachineAutoscaler, and the cluster's ClusterAutoscaler.

Source of the fields: openshift/cluster-autoscaler-operator, ``autoscaling.openshift.io``: the
ClusterAutoscaler must be named ``default``; there is one a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workshop.core.errors import SettingsError
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.machines import machinesets, nodes
from workshop.targets.cluster.machines.machinesets import MADE_FROM, NAMESPACE, made_here

MACHINES = ("autoscaling.openshift.io/v1beta1", "MachineAutoscaler")
CLUSTER = ("autoscaling.openshift.io/v1", "ClusterAutoscaler")
DEFAULT = "default"

IDLE = "10m"
"""How long a node must have been of no use before it goes: a GPU node costs by the hour, and takes
a quarter of one to come back."""


def wanted(machine_set: Object, least: int, most: int, api: Api) -> list[Object]:
    """What lets the cluster have up to ``most`` nodes of this MachineSet; none when not more."""
    if most <= least:
        return []
    if api.kind(*MACHINES) is None:
        raise SettingsError(
            "This cluster cannot add GPU nodes by itself.",
            where=api.url,
            state=f"it does not know the kind {MACHINES[1]}",
            hint="set MOST_GPU_NODES = 0; OpenShift's cluster-autoscaler-operator brings it",
        )
    labels = {**objects.labels(machinesets.COMPONENT), MADE_FROM: api.namespace}
    name = machine_set["metadata"]["name"]
    target = {"apiVersion": machine_set["apiVersion"], "kind": machine_set["kind"], "name": name}
    made: list[Object] = [
        {
            "apiVersion": MACHINES[0],
            "kind": MACHINES[1],
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "spec": {"minReplicas": least, "maxReplicas": most, "scaleTargetRef": target},
        }
    ]
    if _foreign(api) is None:
        limits = {"gpus": [{"type": nodes.GPU, "min": 0, "max": most}]}
        scale_down = {"enabled": True, "unneededTime": IDLE}
        made.append(
            {
                "apiVersion": CLUSTER[0],
                "kind": CLUSTER[1],
                "metadata": {"name": DEFAULT, "labels": labels},
                "spec": {"resourceLimits": limits, "scaleDown": scale_down},
            }
        )
    return made


def kept(machine_set: Object, ours: Iterable[Object], least: int, most: int) -> int:
    """How many the MachineSet shall have: between the two numbers, as many as it has."""
    name = machine_set["metadata"]["name"]
    now = next((o["spec"].get("replicas", 1) for o in ours if o["metadata"]["name"] == name), least)
    return min(max(int(now), least), max(most, least))


def ensure(api: Api, machine_set: Object, made: Sequence[Object]) -> list[str]:
    """Apply these, or remove what an earlier wish left; gives what to tell."""
    if not made:
        return remove(api, machine_set["metadata"]["name"])
    for one in made:
        api.apply(one)
    spec = made[0]["spec"]
    told = [f"the cluster may have {spec['minReplicas']} to {spec['maxReplicas']} by itself"]
    foreign = _foreign(api)
    if foreign is not None:
        limits = (foreign["spec"].get("resourceLimits") or {}).get("gpus") or "none"
        told.append(f"within the limits of the ClusterAutoscaler that is there; of GPUs: {limits}")
    return told


def remove(api: Api, name: str = "") -> list[str]:
    """Remove those made from this namespace, or the one of this name; gives what was removed."""
    removed = []
    for one in made_here(api, MACHINES, CLUSTER):
        if name in ("", one["metadata"]["name"]) or one["kind"] == CLUSTER[1]:
            api.delete(one)
            removed.append(" ".join(objects.key(one)))
    return removed


def left(api: Api) -> list[str]:
    """Those made from this namespace that are still there."""
    return [" ".join(objects.key(one)) for one in made_here(api, MACHINES, CLUSTER)]


def _foreign(api: Api) -> Object | None:
    """The cluster's autoscaler, if somebody else made it."""
    found = api.get(*CLUSTER, DEFAULT)
    return None if objects.labels_of(found).get(MADE_FROM) == api.namespace else found
