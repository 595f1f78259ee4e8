"""A MachineSet for GPU nodes, cloned from one of the cluster's own workers.

Cloning beats a template: image, subnet, security groups and instance profile are this cluster's.
The fields are those of ``machine/v1beta1`` in github.com/openshift/api.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from workshop.core.errors import SettingsError
from workshop.targets.base import Machines
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import MANAGER, Api, Object
from workshop.targets.cluster.errors import Forbidden
from workshop.targets.cluster.objects import labels_of

API_VERSION = "machine.openshift.io/v1beta1"
MACHINE_SET = (API_VERSION, "MachineSet")
MACHINE = (API_VERSION, "Machine")
NAMESPACE = "openshift-machine-api"
COMPONENT = "gpu-nodes"

MEMBER = "machine.openshift.io/cluster-api-machineset"
"""The label by which a MachineSet finds its Machines."""

CLUSTER = "machine.openshift.io/cluster-api-cluster"
"""The label with the cluster's infrastructure name, which every Machine carries."""

ROLE = "machine.openshift.io/cluster-api-machine-role"

MADE_FROM = "agent-workshop-kit/namespace"
"""The label with the namespace whose notebooks made it: only their clean-up removes it."""

PROVIDER = "AWSMachineProviderConfig"  # The only cloud that is known.


def is_ours(machine_set: Object) -> bool:
    """Whether the kit made it, from whichever namespace."""
    return labels_of(machine_set).get(objects.MANAGED_BY) == MANAGER


def made_here(api: Api, *kinds: tuple[str, str]) -> list[Object]:
    """The objects of these kinds that were made from the namespace of ``api``."""
    selector = f"{objects.OURS},{MADE_FROM}={api.namespace}"
    try:
        return [one for kind in kinds for one in api.list(*kind, selector, NAMESPACE)]
    except Forbidden:
        # Then this user has made none.
        return []


def machines(api: Api, machine_sets: Sequence[Object]) -> list[Object]:
    """The Machines of these MachineSets."""
    names = {one["metadata"]["name"] for one in machine_sets}
    every = api.list(*MACHINE, namespace=NAMESPACE) if names else []
    return [one for one in every if labels_of(one).get(MEMBER) in names]


def zone_of(machine_set: Object) -> str:
    """The zone in which its machines are; "" on other clouds than AWS."""
    placement = _provider(machine_set).get("placement") or {}
    return str(placement.get("availabilityZone") or "")


def type_of(thing: Object) -> str:
    """A MachineSet's or a Machine's type in the cloud."""
    return str(_provider(thing).get("instanceType") or "")


def workers(machine_sets: Sequence[Object]) -> list[Object]:
    """The cluster's own workers among these, the likeliest to be plain and working first.

    That is: without taints, as special machines have them; with machines; then by name.

    Raises:
        SettingsError: There is none, or they are on a cloud that the kit does not know.
    """
    found = [
        one
        for one in machine_sets
        if not is_ours(one) and labels_of(one["spec"]["template"]).get(ROLE) == "worker"
    ]
    if not found:
        raise SettingsError(
            "There is no worker MachineSet to clone.",
            where=NAMESPACE,
            state="MachineSets: "
            + (", ".join(one["metadata"]["name"] for one in machine_sets) or "none"),
            hint="this cluster's nodes are added outside of it: add one with an NVIDIA GPU there, "
            "then run this notebook again",
        )
    kinds = {str(_provider(one).get("kind") or "unknown") for one in found}
    if PROVIDER not in kinds:
        raise SettingsError(
            "The kit can add machines only on AWS.",
            where=NAMESPACE,
            state=f"the workers' providerSpec is {', '.join(sorted(kinds))}, and not {PROVIDER}",
            hint="add a node with an NVIDIA GPU with your cloud's own tools, then run this "
            "notebook again: it checks what is there",
        )
    fitting = [one for one in found if _provider(one).get("kind") == PROVIDER]

    def likeliness(one: Object) -> tuple[bool, bool, str]:
        tainted = bool(one["spec"]["template"]["spec"].get("taints"))
        return tainted, not one["spec"].get("replicas"), str(one["metadata"]["name"])

    return sorted(fitting, key=likeliness)


def zones(models: Sequence[Object]) -> list[str]:
    """The zones of these workers, each once, in their order."""
    return list(dict.fromkeys(zone_of(one) for one in models))


def in_zone(models: Sequence[Object], zone: str) -> Object:
    """The worker to clone for this zone: subnet and zone must fit. "" takes the first."""
    for one in models:
        if zone in ("", zone_of(one)):
            return one
    raise SettingsError(
        f"The cluster has no workers in the zone {zone!r}.",
        where="the parameter ZONE",
        state="zones with workers: " + ", ".join(zones(models)),
        hint=f'set ZONE = "{zone_of(models[0])}"',
    )


def clone(model: Object, wanted: Machines, namespace: str) -> Object:
    """A MachineSet like this worker's, of another type, whose nodes carry label and taint.

    ``model`` is of the same zone; ``namespace`` is the user's, for ``MADE_FROM``.

    Raises:
        SettingsError: The worker lacks the label with the infrastructure's name.
    """
    template = copy.deepcopy(model["spec"]["template"])
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    infrastructure = labels.get(CLUSTER)
    if not infrastructure:
        raise SettingsError(
            f"The MachineSet {model['metadata']['name']} cannot be cloned.",
            where=NAMESPACE,
            state=f"its template lacks the label {CLUSTER}",
            hint="oc get infrastructure cluster -o yaml; a MachineSet of the installer's has it",
        )
    name = f"{infrastructure}-gpu-{zone_of(model)}"
    labels[MEMBER] = name
    spec = template["spec"]
    # Here they reach the node. In template.metadata they would mark the Machine, and no node would
    # ever be found by them.
    spec["metadata"] = {"labels": labels_of(spec) | dict(wanted.labels)}
    # A worker's own taints go: pods of the kit tolerate this one alone.
    spec.pop("taints", None)
    if wanted.taint:
        spec["taints"] = [{"key": wanted.taint, "effect": "NoSchedule"}]
    spec["providerSpec"]["value"]["instanceType"] = wanted.machine_type
    # Of the model's machines; the cluster writes them for the new ones.
    spec.pop("providerID", None)
    selector = {**(model["spec"].get("selector") or {}).get("matchLabels", {}), MEMBER: name}
    own = {**objects.labels(COMPONENT), CLUSTER: infrastructure, MADE_FROM: namespace}
    # Only these: the model's autoscaler annotations are about its own type, and status, uid,
    # versions and managed fields are about the object that it is.
    # The labels of the nodes as well: the autoscaler reads them here.
    meta = {"name": name, "namespace": NAMESPACE, "labels": {**wanted.labels, **own}}
    matched = {"matchLabels": selector}
    whole = {"replicas": wanted.replicas, "selector": matched, "template": template}
    return objects.made(*MACHINE_SET, meta, spec=whole)


def _provider(thing: Object) -> Object:
    """The cloud's own settings, of a MachineSet or of a Machine."""
    spec = thing["spec"].get("template", thing)["spec"]
    found: Object = (spec.get("providerSpec") or {}).get("value") or {}
    return found


PRICED_IN = "us-east-1"


@dataclass(frozen=True)
class MachineType:
    """One type: its GPU, that one's memory in GB as the maker counts, and its price.

    ``dollars`` are USD an hour, on demand, Linux, in ``PRICED_IN``, without disk and traffic.
    """

    gpu: str
    gpu_gb: int
    dollars: float


# From public price lists, read in November 2026: https://aws.amazon.com/ec2/pricing/on-demand/
# says what is true today and elsewhere.
TYPES = {
    "g6.xlarge": MachineType("NVIDIA L4", 24, 0.8048),
    "g6.2xlarge": MachineType("NVIDIA L4", 24, 0.9776),
    "g6.4xlarge": MachineType("NVIDIA L4", 24, 1.3232),
    "g6.8xlarge": MachineType("NVIDIA L4", 24, 2.0144),
    "g5.xlarge": MachineType("NVIDIA A10G", 24, 1.006),
    "g4dn.xlarge": MachineType("NVIDIA T4", 16, 0.526),
}


def priced(machine_type: str, replicas: int) -> str:
    """In one line: how many, of what, with which GPU, at which price."""
    known = TYPES.get(machine_type)
    if known is None:
        return f"{replicas} x {machine_type}; the kit does not know its GPU and its price"
    total = replicas * known.dollars
    return (
        f"{replicas} x {machine_type} with one {known.gpu} ({known.gpu_gb} GB): "
        f"about {total:.2f} USD an hour in all, on demand in {PRICED_IN}; check it for your region"
    )
