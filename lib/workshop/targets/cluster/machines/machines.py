"""GPU nodes: a MachineSet of the kit's own, followed until its nodes offer a GPU, and removed.

They come and go by themselves with a MachineAutoscaler and the cluster's ClusterAutoscaler, which
must be named ``default``; there is one a cluster. Source of the fields:
openshift/cluster-autoscaler-operator, ``autoscaling.openshift.io``.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import yaml

from workshop.core.errors import PartFailed, SettingsError
from workshop.core.progress import Stages
from workshop.core.wait import NotYet, wait_for
from workshop.targets.base import Accelerator, Machines
from workshop.targets.cluster import objects, permissions
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.errors import Forbidden
from workshop.targets.cluster.informer import Informer, patient
from workshop.targets.cluster.machines import machinesets, nodes
from workshop.targets.cluster.machines.machinesets import (
    MACHINE,
    MACHINE_SET,
    MADE_FROM,
    MEMBER,
    NAMESPACE,
    made_here,
)
from workshop.targets.cluster.machines.nodes import NODE
from workshop.targets.cluster.machines.operators import DISCOVERY, POLICY, Operators
from workshop.targets.cluster.objects import labels_of
from workshop.targets.cluster.permissions import Right

MACHINES = ("autoscaling.openshift.io/v1beta1", "MachineAutoscaler")
CLUSTER = ("autoscaling.openshift.io/v1", "ClusterAutoscaler")
DEFAULT = "default"

IDLE = "10m"
"""How long a node must have been of no use before it goes: a GPU node costs by the hour, and takes
a quarter of one to come back."""


def autoscalers(machine_set: Object, least: int, most: int, api: Api) -> list[Object]:
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
    meta = {"name": name, "namespace": NAMESPACE, "labels": labels}
    spec = {"minReplicas": least, "maxReplicas": most, "scaleTargetRef": target}
    made = [objects.made(*MACHINES, meta, spec=spec)]
    if _foreign(api) is None:
        limits = {"gpus": [{"type": nodes.GPU, "min": 0, "max": most}]}
        limited = {"resourceLimits": limits, "scaleDown": {"enabled": True, "unneededTime": IDLE}}
        meta = {"name": DEFAULT, "labels": labels}
        made.append(objects.made(*CLUSTER, meta, spec=limited))
    return made


def kept(machine_set: Object, ours: Iterable[Object], least: int, most: int) -> int:
    """How many the MachineSet should have: between the two numbers, as many as it has."""
    name = machine_set["metadata"]["name"]
    now = next((o["spec"].get("replicas", 1) for o in ours if o["metadata"]["name"] == name), least)
    return min(max(int(now), least), max(most, least))


def ensure_autoscalers(api: Api, machine_set: Object, made: Sequence[Object]) -> list[str]:
    """Apply these, or remove what an earlier wish left; gives what to tell."""
    if not made:
        return remove_autoscalers(api, machine_set["metadata"]["name"])
    for one in made:
        api.apply(one)
    spec = made[0]["spec"]
    told = [f"the cluster may have {spec['minReplicas']} to {spec['maxReplicas']} by itself"]
    foreign = _foreign(api)
    if foreign is not None:
        limits = (foreign["spec"].get("resourceLimits") or {}).get("gpus") or "none"
        told.append(f"within the limits of the ClusterAutoscaler that is there; of GPUs: {limits}")
    return told


def remove_autoscalers(api: Api, name: str = "") -> list[str]:
    """Remove those made from this namespace, or the one of this name; gives what was removed."""
    removed = []
    for one in made_here(api, MACHINES, CLUSTER):
        if name in ("", one["metadata"]["name"]) or one["kind"] == CLUSTER[1]:
            api.delete(one)
            removed.append(" ".join(objects.key(one)))
    return removed


def _foreign(api: Api) -> Object | None:
    """The cluster's autoscaler, if somebody else made it."""
    found = api.get(*CLUSTER, DEFAULT)
    return None if labels_of(found).get(MADE_FROM) == api.namespace else found


QUOTA = ("VcpuLimitExceeded", "InstanceLimitExceeded")
"""AWS's codes when the account may not have more of such machines."""

ELSEWHERE = ("InsufficientInstanceCapacity", "sufficient capacity", "Unsupported")
"""AWS's words when a zone has none left, or never has that type."""

# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
QUOTA_HINT = (
    'the quota "Running On-Demand G and VT instances" counts vCPUs in a region, and another zone '
    "does not help: ask for more (AWS Service Quotas, code L-DB2E81BA), or set MACHINE_TYPE to a "
    "smaller one"
)


@dataclass
class Arrival:
    """Follows the machines of one MachineSet, as it was applied, and tells each stage once.

    ``zones`` are others to try when this one has no machine; ``ignored`` are the uids of Machines
    that were deleted before.
    """

    informer: Informer
    machine_set: Object
    zones: Sequence[str]
    ignored: Collection[str]
    stage: Stages
    told: set[str] = field(default_factory=set)

    def state(self) -> list[str] | NotYet:
        """The nodes once all offer a GPU, or what is missing; raises where the cloud refuses."""
        machines, wanted = self._machines(), int(self.machine_set["spec"]["replicas"])
        for machine in machines:
            refused = refusal(machine, self.zones)
            if refused is not None:
                raise refused
            self._tell(f"Machine {machine['metadata']['name']} is there")
        if len(machines) < wanted:
            return NotYet(f"{len(machines)} of {wanted} Machines are there")
        for machine in machines:
            if not _node_of(machine):
                return NotYet(_describe(machine))
            self._tell(f"Machine {machine['metadata']['name']} is the node {_node_of(machine)}")
        return self._nodes([_node_of(machine) for machine in machines])

    def _nodes(self, names: list[str]) -> list[str] | NotYet:
        known = {one["metadata"]["name"]: one for one in self.informer.all(*NODE)}
        for name in names:
            node = known.get(name)
            if node is None or not nodes.is_ready(node):
                return NotYet(f"the node {name} is not Ready yet")
            self._tell(f"node {name} is Ready; next come the driver and the device plugin")
            if not nodes.gpus(node):
                return NotYet(
                    f"the node {name} offers no {nodes.GPU} yet, ClusterPolicy: {self._policy()}"
                )
            self._tell(f"node {name} offers {nodes.GPU}: {nodes.gpus(node)}")
        if self._policy() not in ("ready", "none"):
            return NotYet(f"ClusterPolicy: {self._policy()}")
        return names

    def _machines(self) -> list[Object]:
        name = self.machine_set["metadata"]["name"]
        return [
            one
            for one in self.informer.all(*MACHINE, namespace=NAMESPACE)
            if labels_of(one).get(MEMBER) == name
            and not one["metadata"].get("deletionTimestamp")
            and one["metadata"]["uid"] not in self.ignored
        ]

    def _policy(self) -> str:
        """The state of the cluster's ClusterPolicy; "none" where GPUs come another way."""
        states = [
            str((one.get("status") or {}).get("state") or "no state yet")
            for one in self.informer.all(*POLICY)
        ]
        # The operator says "ignored" of every one but the first.
        counted = [state for state in states if state != "ignored"]
        return counted[0] if counted else "none"

    def _tell(self, text: str) -> None:
        if text not in self.told:
            self.told.add(text)
            self.stage(text)


def refusal(machine: Object, zones: Sequence[str]) -> PartFailed | None:
    """Why the cloud gives no such machine, or None; ``zones`` are the others to try."""
    status, said = machine.get("status") or {}, _said(machine)
    # The provider tries for ever what a quota or an empty zone forbids, and the phase stays
    # Provisioning meanwhile.
    hopeless = any(word in said for word in (*QUOTA, *ELSEWHERE))
    if status.get("phase") != "Failed" and not hopeless:
        return None
    name = machine["metadata"]["name"]
    reason = str(status.get("errorReason") or "")
    return PartFailed(
        f"The cloud gave no machine for {name}.",
        where=f"Machine {name}, namespace {NAMESPACE}, "
        f"{machinesets.type_of(machine)} in {machinesets.zone_of(machine) or 'an unknown zone'}",
        state=": ".join(filter(None, [reason, said])) or "phase Failed, without a reason",
        hint=_hint(said + reason, name, zones),
    )


def _hint(said: str, name: str, zones: Sequence[str]) -> str:
    if any(word in said for word in QUOTA):
        return QUOTA_HINT
    if zones:
        others = f" (or {', '.join(zones[1:])})" if zones[1:] else ""
        return f'set ZONE = "{zones[0]}"{others} and run this notebook again'
    return (
        f"oc describe machine {name} -n {NAMESPACE}; the cluster has no workers in "
        "another zone, so try another MACHINE_TYPE, or later"
    )


def is_failed(machine: Object) -> bool:
    """Whether the cluster has given it up: no MachineSet replaces such a Machine by itself."""
    return bool((machine.get("status") or {}).get("phase") == "Failed")


def _said(machine: Object) -> str:
    """What the cloud said: of a Machine that failed, or of one that is tried again and again."""
    status = machine.get("status") or {}
    if status.get("errorMessage"):
        return " ".join(str(status["errorMessage"]).split())
    conditions = (status.get("providerStatus") or {}).get("conditions") or []
    said = [
        str(one.get("message") or "")
        for one in conditions
        if one.get("status") == "False" and one.get("reason") == "MachineCreationFailed"
    ]
    return " ".join(" ".join(said).split())


def _describe(machine: Object) -> str:
    name = machine["metadata"]["name"]
    phase = (machine.get("status") or {}).get("phase") or "no phase yet"
    return f"Machine {name}: " + ", ".join(filter(None, [phase, _said(machine)]))


def _node_of(machine: Object) -> str:
    return str(((machine.get("status") or {}).get("nodeRef") or {}).get("name") or "")


GONE = 900.0  # Seconds for machines to be gone: their nodes are drained, then the cloud ends them.


class GpuMachines:
    """Adds and removes machines of the cluster that ``api`` reaches."""

    def __init__(self, api: Api, informer: Informer) -> None:
        self._api = api
        self._informer = informer

    def skip_reason(self) -> str | None:
        """Why this user cannot add machines here, or None when they can."""
        if self._api.kind(*MACHINE_SET) is None:
            return "this cluster has no MachineSets: its nodes are added outside of it"
        lacks = permissions.lacking(self._api, rights(self._api))
        step = "adding machines is an administrator's step, and this user may not: "
        return step + permissions.short(lacks) if lacks else None

    def accelerators(self) -> list[Accelerator]:
        """The nodes that offer a GPU; none where this user may not see nodes."""
        try:
            return nodes.accelerators(self._api.list(*NODE))
        except Forbidden:
            return []

    def add(self, wanted: Machines, *, dry_run: bool, timeout: float, stage: Stages) -> str:
        """Make the MachineSet, and wait for its nodes; see ``base.MachinePool.add``."""
        ends = time.monotonic() + timeout
        machine_set, others = self._plan(wanted)
        name, zone = machine_set["metadata"]["name"], machinesets.zone_of(machine_set)
        replicas = machine_set["spec"]["replicas"]
        stage(f"{machinesets.priced(wanted.machine_type, replicas)}; zone {zone}")
        grown = autoscalers(machine_set, wanted.replicas, wanted.most, self._api)
        if dry_run:
            for one in (machine_set, *grown):
                self._api.apply(one, dry_run=True)
            return self._shown(machine_set, wanted.machine_type, grown)
        Operators(self._api, self._informer).ensure(timeout=ends - time.monotonic(), stage=stage)
        gone = self._tidy(machine_set, stage)
        there = self._api.get(*MACHINE_SET, name, NAMESPACE)
        stage(f"{'using' if there else 'making'} MachineSet {name}")
        # First: it would bring a number that it does not allow back.
        for told in ensure_autoscalers(self._api, machine_set, grown):
            stage(told)
        if there and there["spec"].get("replicas") != replicas:
            # Whoever set the number, such as the autoscaler, owns it: to apply another one would be
            # a conflict, while a patch takes it over.
            self._api.merge(machine_set, {"spec": {"replicas": replicas}})
        applied = self._api.apply(machine_set)
        arrival = Arrival(self._informer, applied, others, gone, stage)
        found: list[str] = wait_for(
            f"{replicas} x {nodes.GPU}",
            lambda: patient(arrival.state),
            timeout=max(1.0, ends - time.monotonic()),
            stage=stage,
            every=0.1,
            where=f"MachineSet {name}, namespace {NAMESPACE}",
            hint=f"oc get machines -n {NAMESPACE}; oc get pods -n nvidia-gpu-operator; "
            "run this cell again to go on waiting",
        )
        verb = "reused" if there else "created"
        return f"MachineSet {name} {verb}; nodes with a GPU: {', '.join(found)}"

    def remove(self) -> list[str]:
        """Remove this namespace's MachineSets, wait for their Machines to go; operators stay."""
        ours = made_here(self._api, MACHINE_SET)
        # First: they would ask for the machines again.
        removed = remove_autoscalers(self._api)
        for machine_set in ours:
            self._api.delete(machine_set)

        def gone() -> object:
            left = [*machinesets.machines(self._api, ours), *made_here(self._api, MACHINE_SET)]
            names = [one["metadata"]["name"] for one in left]
            return NotYet("still there: " + ", ".join(names)) if names else True

        if ours:
            wait_for(
                "the machines to be gone",
                gone,
                timeout=GONE,
                every=0.5,
                where=f"namespace {NAMESPACE}",
                hint=f"oc get machines -n {NAMESPACE}: a pod that cannot be moved may "
                "hold a node; until its machine is gone, it costs money",
            )
        names = [f"MachineSet {one['metadata']['name']} and its machines" for one in ours]
        return [*removed, *names]

    def left(self) -> list[str]:
        """What was made from this namespace and is still there."""
        sets = made_here(self._api, MACHINE_SET)
        grown = made_here(self._api, MACHINES, CLUSTER)
        return [" ".join(objects.key(one)) for one in (*sets, *grown)]

    def _plan(self, wanted: Machines) -> tuple[Object, list[str]]:
        """The MachineSet to make, and the other zones, nearest in the list first."""
        sets = self._api.list(*MACHINE_SET, namespace=NAMESPACE)
        models = machinesets.workers(sets)
        zones = machinesets.zones(models)
        ours = [one for one in sets if machinesets.is_ours(one)]
        # Without a choice, where an earlier run started.
        zone = wanted.zone or next((z for z in map(machinesets.zone_of, ours) if z in zones), "")
        made = machinesets.clone(machinesets.in_zone(models, zone), wanted, self._api.namespace)
        self._refuse_another_type(made)
        least = max(1, wanted.replicas - self._foreign(ours))
        made["spec"]["replicas"] = kept(made, ours, least, wanted.most)
        here = zones.index(machinesets.zone_of(made))
        return made, [*zones[here + 1 :], *zones[:here]]

    def _refuse_another_type(self, made: Object) -> None:
        """A MachineSet leaves the machines that it has as they are, so their type must fit."""
        name, wanted = made["metadata"]["name"], machinesets.type_of(made)
        for machine in machinesets.machines(self._api, [made]):
            found = machinesets.type_of(machine)
            if found != wanted and not is_failed(machine):
                raise SettingsError(
                    f"The MachineSet {name} has a machine of another type already.",
                    where=f"Machine {machine['metadata']['name']}",
                    state=f"it is a {found}, and MACHINE_TYPE is {wanted}",
                    hint=f'set MACHINE_TYPE = "{found}", or remove it first: oc delete machineset '
                    f"{name} -n {NAMESPACE}",
                )

    def _foreign(self, ours: list[Object]) -> int:
        """How many nodes with a GPU are there that are not of the kit's MachineSets."""
        own = {
            ((machine.get("status") or {}).get("nodeRef") or {}).get("name")
            for machine in machinesets.machines(self._api, ours)
        }
        return sum(found.ready and found.node not in own for found in self.accelerators())

    def _tidy(self, machine_set: Object, stage: Stages) -> set[str]:
        """Remove what earlier attempts left; gives the uids of the Machines that go.

        A Failed Machine is never tried again, and a MachineSet of another zone that got no machine
        would get one later, unasked, and be paid for.
        """
        name = machine_set["metadata"]["name"]
        gone = set()
        for other in made_here(self._api, MACHINE_SET):
            idle = not (other.get("status") or {}).get("readyReplicas")
            if other["metadata"]["name"] != name and idle:
                stage(f"removing {other['metadata']['name']}, which got no machine")
                self._api.delete(other)
        for machine in machinesets.machines(self._api, [machine_set]):
            if is_failed(machine):
                stage(f"removing the Machine {machine['metadata']['name']}, which failed earlier")
                self._api.delete(machine)
                gone.add(machine["metadata"]["uid"])
        return gone

    def _shown(self, machine_set: Object, machine_type: str, grown: list[Object]) -> str:
        """A dry run's result: what would be made, as YAML, and what it would cost."""
        missing = [one.package for one in Operators(self._api, self._informer).missing()]
        lines = [f"# A dry run: nothing was created. {machine_set['kind']} that would be:"]
        lines += [f"# {machinesets.priced(machine_type, machine_set['spec']['replicas'])}"]
        lines += [f"# Operators that would be installed: {', '.join(missing)}"] if missing else []
        made = yaml.safe_dump_all([machine_set, *grown], sort_keys=False).rstrip()
        return "\n".join([*lines, made])


def rights(api: Api) -> list[Right]:
    """What adding machines needs besides the user's namespace."""
    space = NAMESPACE
    of_kind = functools.partial(permissions.of_kind, api)
    return [
        *of_kind(*NODE, ["list", "watch"], ""),
        *of_kind(*MACHINE_SET, ["get", "list", "create", "patch", "delete"], space),
        *of_kind(*MACHINE, ["list", "watch", "delete"], space),
        *of_kind(*POLICY, ["list", "watch"], ""),
        *of_kind(*DISCOVERY, ["list"], ""),
    ]
