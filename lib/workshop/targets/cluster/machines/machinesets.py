"""A MachineSet for GPU nodes, cloned from one of the cluster's own workers, and its Machines.

Cloning beats a template: image, subnet, security groups and instance profile are this cluster's.
The fields are those of ``machine/v1beta1`` in github.com/openshift/api.
"""

import contextlib
import copy
from collections.abc import Sequence

from workshop.core.errors import PartFailed, SettingsError
from workshop.targets.base import Machines
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.errors import Forbidden
from workshop.targets.cluster.objects import labels_of

API_VERSION = "machine.openshift.io/v1beta1"
MACHINE_SET = (API_VERSION, "MachineSet")
MACHINE = (API_VERSION, "Machine")
NAMESPACE = "openshift-machine-api"
COMPONENT = "gpu-nodes"

MEMBER = "machine.openshift.io/cluster-api-machineset"  # The label with a Machine's MachineSet.
CLUSTER = "machine.openshift.io/cluster-api-cluster"  # The label with the infrastructure's name.
ROLE = "machine.openshift.io/cluster-api-machine-role"

MADE_FROM = "agent-workshop-kit/namespace"  # The label with the namespace whose clean-up takes it.
PROVIDER = "AWSMachineProviderConfig"  # The only cloud that is known.


def made_here(api: Api, *kinds: tuple[str, str]) -> list[Object]:
    """The objects of these kinds that were made from the namespace of ``api``."""
    found: list[Object] = []
    for kind in kinds:
        # Who may not list them has made none.
        with contextlib.suppress(Forbidden):
            found += api.list(*kind, f"{objects.OURS},{MADE_FROM}={api.namespace}", NAMESPACE)
    return found


def machines(api: Api, machine_sets: Sequence[Object]) -> list[Object]:
    """The Machines of these MachineSets."""
    names = {one["metadata"]["name"] for one in machine_sets}
    every = api.list(*MACHINE, namespace=NAMESPACE) if names else []
    return [one for one in every if labels_of(one).get(MEMBER) in names]


def zone_of(thing: Object) -> str:
    """A MachineSet's or a Machine's zone; "" on other clouds than AWS."""
    return str((_provider(thing).get("placement") or {}).get("availabilityZone") or "")


def type_of(thing: Object) -> str:
    """A MachineSet's or a Machine's type in the cloud."""
    return str(_provider(thing).get("instanceType") or "")


def workers(machine_sets: Sequence[Object]) -> list[Object]:
    """The cluster's own workers among these: those without taints first, then those with machines.

    Raises:
        SettingsError: There is none, or they are on a cloud that the kit does not know.
    """
    found = [
        one
        for one in machine_sets
        if not objects.is_ours(one) and labels_of(one["spec"]["template"]).get(ROLE) == "worker"
    ]
    if not found:
        names = ", ".join(one["metadata"]["name"] for one in machine_sets)
        raise SettingsError(
            "There is no worker MachineSet to clone.",
            where=NAMESPACE,
            state=f"MachineSets: {names or 'none'}",
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


QUOTA = ("VcpuLimitExceeded", "InstanceLimitExceeded")  # AWS: the account may have no more.
SOLD_OUT = ("InsufficientInstanceCapacity", "sufficient capacity", "Unsupported")
"""AWS's words when a zone has none left, or never has that type."""

# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
QUOTA_HINT = (
    'the quota "Running On-Demand G and VT instances" counts vCPUs in a region, and another zone '
    "does not help: ask for more (AWS Service Quotas, code L-DB2E81BA), or set MACHINE_TYPE to a "
    "smaller one"
)


def refusal(machine: Object, zones: Sequence[str]) -> PartFailed | None:
    """Why the cloud gives no such machine, or None; ``zones`` are the others to try."""
    said, name = _said(machine), machine["metadata"]["name"]
    # The provider tries for ever what a quota or an empty zone forbids, and the phase stays
    # Provisioning meanwhile.
    if not is_failed(machine) and not any(word in said for word in (*QUOTA, *SOLD_OUT)):
        return None
    reason = str((machine.get("status") or {}).get("errorReason") or "")
    if any(word in said + reason for word in QUOTA):
        hint = QUOTA_HINT
    elif zones:
        others = f" (or {', '.join(zones[1:])})" if zones[1:] else ""
        hint = f'set ZONE = "{zones[0]}"{others} and run this notebook again'
    else:
        hint = f"oc describe machine {name} -n {NAMESPACE}; the cluster has no workers in "
        hint += "another zone, so try another MACHINE_TYPE, or later"
    return PartFailed(
        f"The cloud gave no machine for {name}.",
        where=f"Machine {name}, namespace {NAMESPACE}, "
        f"{type_of(machine)} in {zone_of(machine) or 'an unknown zone'}",
        state=": ".join(filter(None, [reason, said])) or "phase Failed, without a reason",
        hint=hint,
    )


def is_failed(machine: Object) -> bool:
    """Whether the cluster has given it up: no MachineSet replaces such a Machine by itself."""
    return bool((machine.get("status") or {}).get("phase") == "Failed")


def node_of(machine: Object) -> str:
    """The name of its node, or ""."""
    return str(((machine.get("status") or {}).get("nodeRef") or {}).get("name") or "")


def describe(machine: Object) -> str:
    """What it does at the moment, in words."""
    phase = (machine.get("status") or {}).get("phase") or "no phase yet"
    return f"Machine {machine['metadata']['name']}: " + ", ".join(
        filter(None, [phase, _said(machine)])
    )


def _said(machine: Object) -> str:
    """What the cloud said: of a Machine that failed, or of one that is tried again and again."""
    status = machine.get("status") or {}
    said = [status.get("errorMessage")]
    if not said[0]:
        said = [
            one.get("message")
            for one in (status.get("providerStatus") or {}).get("conditions") or []
            if one.get("status") == "False" and one.get("reason") == "MachineCreationFailed"
        ]
    return " ".join(word for text in said for word in str(text or "").split())


PRICED_IN = "us-east-1"
TYPES = {
    "g6.xlarge": ("NVIDIA L4 (24 GB)", 0.8048),
    "g6.2xlarge": ("NVIDIA L4 (24 GB)", 0.9776),
    "g6.4xlarge": ("NVIDIA L4 (24 GB)", 1.3232),
    "g6.8xlarge": ("NVIDIA L4 (24 GB)", 2.0144),
    "g5.xlarge": ("NVIDIA A10G (24 GB)", 1.006),
    "g4dn.xlarge": ("NVIDIA T4 (16 GB)", 0.526),
}
"""The GPU, with its memory as the maker counts it, and the price: USD an hour, on demand, Linux, in
``PRICED_IN``, without disk and traffic. From public price lists, read in November 2026:
https://aws.amazon.com/ec2/pricing/on-demand/ says what is true today and elsewhere."""


def priced(machine_type: str, replicas: int) -> str:
    """In one line: how many, of what, with which GPU, at which price."""
    if machine_type not in TYPES:
        return f"{replicas} x {machine_type}; the kit does not know its GPU and its price"
    gpu, dollars = TYPES[machine_type]
    return (
        f"{replicas} x {machine_type} with one {gpu}: about {replicas * dollars:.2f} USD an hour "
        f"in all, on demand in {PRICED_IN}; check it for your region"
    )
