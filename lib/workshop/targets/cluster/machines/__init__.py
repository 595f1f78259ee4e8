"""GPU nodes: a MachineSet of the kit's own, followed until its nodes offer a GPU, and removed.

They come and go by themselves with a MachineAutoscaler and the cluster's ClusterAutoscaler, which
must be named ``default``; there is one per cluster. Source of the fields:
openshift/cluster-autoscaler-operator, ``autoscaling.openshift.io``.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import yaml

from workshop.core.errors import SettingsError
from workshop.core.progress import Stages
from workshop.core.wait import NotYet, wait_for
from workshop.targets.base import Accelerator, Machines
from workshop.targets.cluster import objects, permissions
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.errors import if_allowed
from workshop.targets.cluster.informer import Informer, patient
from workshop.targets.cluster.machines import machinesets, nodes
from workshop.targets.cluster.machines.machinesets import (
    MACHINE,
    MACHINE_SET,
    MADE_FROM,
    MEMBER,
    NAMESPACE,
    made_here,
    node_of,
)
from workshop.targets.cluster.machines.nodes import NODE
from workshop.targets.cluster.machines.operators import DISCOVERY, POLICY, Operators
from workshop.targets.cluster.objects import labels_of
from workshop.targets.cluster.permissions import Right

MACHINES = ("autoscaling.openshift.io/v1beta1", "MachineAutoscaler")
CLUSTER = ("autoscaling.openshift.io/v1", "ClusterAutoscaler")
DEFAULT = "default"

ACCELERATOR = "cluster-api/accelerator"  # The autoscaler's label of nodes with a GPU.
IDLE = "10m"
"""How long a node must have been of no use before it goes: a GPU node costs by the hour, and takes
a quarter of one to come back."""

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
        return nodes.accelerators(if_allowed(lambda: self._api.list(*NODE), []))

    def add(self, wanted: Machines, *, dry_run: bool, timeout: float, stage: Stages) -> str:
        """Make the MachineSet, and wait for its nodes; see ``base.MachinePool.add``."""
        ends = time.monotonic() + timeout
        machine_set, zones = self._plan(wanted)
        name, replicas = machine_set["metadata"]["name"], machine_set["spec"]["replicas"]
        price = machinesets.priced(wanted.machine_type, replicas)
        stage(f"{price}; zone {machinesets.zone_of(machine_set)}")
        autoscalers = self._autoscalers(machine_set, wanted.replicas, wanted.most)
        operators = Operators(self._api, self._informer)
        if dry_run:
            for one in (machine_set, *autoscalers):
                self._api.apply(one, dry_run=True)
            lines = [f"# A dry run: nothing was created. MachineSet that would be:\n# {price}"]
            if missing := ", ".join(one.package for one in operators.missing()):
                lines.append(f"# Operators that would be installed: {missing}")
            made = yaml.safe_dump_all([machine_set, *autoscalers], sort_keys=False)
            return "\n".join([*lines, made.rstrip()])
        operators.ensure(timeout=ends - time.monotonic(), stage=stage)
        deleted = self._tidy(machine_set, stage)
        there = self._api.get(*MACHINE_SET, name, NAMESPACE)
        stage(f"{'using' if there else 'making'} MachineSet {name}")
        # First: it would bring a number that it does not allow back.
        self._apply_autoscalers(name, autoscalers, stage)
        if there and there["spec"].get("replicas") != replicas:
            # Whoever set the number, such as the autoscaler, owns it: to apply another one would be
            # a conflict, while a patch takes it over.
            self._api.merge(machine_set, {"spec": {"replicas": replicas}})
        arrival = Arrival(self._informer, self._api.apply(machine_set), zones, deleted, stage)
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
        removed = self._remove_autoscalers()
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
        found = made_here(self._api, MACHINE_SET, MACHINES, CLUSTER)
        return [" ".join(objects.key(one)) for one in found]

    def _plan(self, wanted: Machines) -> tuple[Object, list[str]]:
        """The MachineSet to make, and the other zones, nearest in the list first."""
        sets = self._api.list(*MACHINE_SET, namespace=NAMESPACE)
        models = machinesets.workers(sets)
        zones = machinesets.zones(models)
        ours = [one for one in sets if objects.is_ours(one)]
        # Without a choice, where an earlier run started.
        zone = wanted.zone or next((z for z in map(machinesets.zone_of, ours) if z in zones), "")
        made = machinesets.clone(machinesets.in_zone(models, zone), wanted, self._api.namespace)
        self._refuse_another_type(made)
        # What offers a GPU already counts, if it is not of the kit's MachineSets.
        own = set(map(node_of, machinesets.machines(self._api, ours)))
        others = sum(one.ready and one.node not in own for one in self.accelerators())
        least = max(1, wanted.replicas - others)
        # Between the two numbers, as many as it has.
        same = (one for one in ours if objects.key(one) == objects.key(made))
        now = next((one["spec"].get("replicas", 1) for one in same), least)
        made["spec"]["replicas"] = min(max(int(now), least), max(wanted.most, least))
        here = zones.index(machinesets.zone_of(made))
        return made, [*zones[here + 1 :], *zones[:here]]

    def _refuse_another_type(self, made: Object) -> None:
        """A MachineSet leaves the machines that it has as they are, so their type must fit."""
        name, wanted = made["metadata"]["name"], machinesets.type_of(made)
        for machine in machinesets.machines(self._api, [made]):
            found = machinesets.type_of(machine)
            if found != wanted and not machinesets.is_failed(machine):
                raise SettingsError(
                    f"The MachineSet {name} has a machine of another type already.",
                    where=f"Machine {machine['metadata']['name']}",
                    state=f"it is a {found}, and MACHINE_TYPE is {wanted}",
                    hint=f'set MACHINE_TYPE = "{found}", or remove it first: oc delete machineset '
                    f"{name} -n {NAMESPACE}",
                )

    def _tidy(self, machine_set: Object, stage: Stages) -> set[str]:
        """Remove what earlier attempts left; gives the uids of the Machines that go.

        A Failed Machine is never tried again, and a MachineSet of another zone that got no machine
        would get one later, unasked, and be paid for.
        """
        name, deleted = machine_set["metadata"]["name"], set()
        for other in made_here(self._api, MACHINE_SET):
            idle = not (other.get("status") or {}).get("readyReplicas")
            if other["metadata"]["name"] != name and idle:
                stage(f"removing {other['metadata']['name']}, which got no machine")
                self._api.delete(other)
        for machine in machinesets.machines(self._api, [machine_set]):
            if machinesets.is_failed(machine):
                stage(f"removing the Machine {machine['metadata']['name']}, which failed earlier")
                self._api.delete(machine)
                deleted.add(machine["metadata"]["uid"])
        return deleted

    def _autoscalers(self, machine_set: Object, least: int, most: int) -> list[Object]:
        """What lets the cluster have up to ``most`` nodes of it; none when that is not more."""
        if most <= least:
            return []
        if self._api.kind(*MACHINES) is None:
            raise SettingsError(
                "This cluster cannot add GPU nodes by itself.",
                where=self._api.url,
                state=f"it does not know the kind {MACHINES[1]}",
                hint="set MOST_GPU_NODES = 0; OpenShift's cluster-autoscaler-operator brings it",
            )
        labels = {**objects.labels(machinesets.COMPONENT), MADE_FROM: self._api.namespace}
        name = machine_set["metadata"]["name"]
        target = {"apiVersion": MACHINE_SET[0], "kind": MACHINE_SET[1], "name": name}
        meta = {"name": name, "namespace": NAMESPACE, "labels": labels}
        spec = {"minReplicas": least, "maxReplicas": most, "scaleTargetRef": target}
        made = [objects.made(*MACHINES, meta, spec=spec)]
        if self._foreign_autoscaler() is None:
            on_nodes = machine_set["spec"]["template"]["spec"]["metadata"]["labels"]
            # It counts GPUs by this label of their nodes, whatever resource these offer.
            limits = {"gpus": [{"type": on_nodes[ACCELERATOR], "min": 0, "max": most}]}
            whole = {"resourceLimits": limits, "scaleDown": {"enabled": True, "unneededTime": IDLE}}
            made.append(objects.made(*CLUSTER, {"name": DEFAULT, "labels": labels}, spec=whole))
        return made

    def _apply_autoscalers(self, name: str, wanted: Sequence[Object], stage: Stages) -> None:
        """Apply these, or remove what an earlier wish for this MachineSet left."""
        if not wanted:
            for removed in self._remove_autoscalers(name):
                stage(removed)
            return
        for one in wanted:
            self._api.apply(one)
        spec = wanted[0]["spec"]
        stage(f"the cluster may have {spec['minReplicas']} to {spec['maxReplicas']} by itself")
        foreign = self._foreign_autoscaler()
        if foreign is not None:
            gpus = (foreign["spec"].get("resourceLimits") or {}).get("gpus") or "none"
            stage(f"within the limits of the ClusterAutoscaler that is there; of GPUs: {gpus}")

    def _remove_autoscalers(self, name: str = "") -> list[str]:
        """Remove those made from this namespace, or the one of this name; gives what went."""
        removed = []
        for one in made_here(self._api, MACHINES, CLUSTER):
            if name in ("", one["metadata"]["name"]) or one["kind"] == CLUSTER[1]:
                self._api.delete(one)
                removed.append(" ".join(objects.key(one)))
        return removed

    def _foreign_autoscaler(self) -> Object | None:
        """The cluster's autoscaler, if somebody else made it."""
        found = self._api.get(*CLUSTER, DEFAULT)
        return None if labels_of(found).get(MADE_FROM) == self._api.namespace else found


@dataclass
class Arrival:
    """Follows the machines of one MachineSet, as it was applied, and tells each stage once.

    ``zones`` are others to try when this one has no machine; ``deleted`` are the uids of Machines
    that may still be listed.
    """

    informer: Informer
    machine_set: Object
    zones: Sequence[str]
    deleted: Collection[str]
    stage: Stages
    told: set[str] = field(default_factory=set)

    def state(self) -> list[str] | NotYet:
        """The nodes once all offer a GPU, or what is missing; raises where the cloud refuses."""
        machines, wanted = self._machines(), int(self.machine_set["spec"]["replicas"])
        for machine in machines:
            refused = machinesets.refusal(machine, self.zones)
            if refused is not None:
                raise refused
            self._tell(f"Machine {machine['metadata']['name']} is there")
        if len(machines) < wanted:
            return NotYet(f"{len(machines)} of {wanted} Machines are there")
        for machine in machines:
            if not node_of(machine):
                return NotYet(machinesets.describe(machine))
            self._tell(f"Machine {machine['metadata']['name']} is the node {node_of(machine)}")
        return self._nodes(list(map(node_of, machines)))

    def _nodes(self, names: list[str]) -> list[str] | NotYet:
        policy = self._policy()
        for name in names:
            node = self.informer.named(*NODE, name)
            if node is None or not objects.is_ready(node):
                return NotYet(f"the node {name} is not Ready yet")
            self._tell(f"node {name} is Ready; next come the driver and the device plugin")
            if not nodes.gpus(node):
                return NotYet(f"the node {name} offers no {nodes.GPU} yet, ClusterPolicy: {policy}")
            self._tell(f"node {name} offers {nodes.GPU}: {nodes.gpus(node)}")
        return names if policy in ("ready", "none") else NotYet(f"ClusterPolicy: {policy}")

    def _machines(self) -> list[Object]:
        name = self.machine_set["metadata"]["name"]
        return [
            one
            for one in self.informer.all(*MACHINE, namespace=NAMESPACE)
            if labels_of(one).get(MEMBER) == name
            and not one["metadata"].get("deletionTimestamp")
            and one["metadata"]["uid"] not in self.deleted
        ]

    def _policy(self) -> str:
        """The state of the cluster's ClusterPolicy; "none" where GPUs come another way."""
        every = ((one.get("status") or {}).get("state") for one in self.informer.all(*POLICY))
        # The operator says "ignored" of every one but the first.
        counted = [str(state or "no state yet") for state in every if state != "ignored"]
        return counted[0] if counted else "none"

    def _tell(self, text: str) -> None:
        if text not in self.told:
            self.told.add(text)
            self.stage(text)


def rights(api: Api) -> list[Right]:
    """What adding machines needs besides the user's namespace."""
    needs = (
        (NODE, ("list", "watch"), ""),
        (MACHINE_SET, ("get", "list", "create", "patch", "delete"), NAMESPACE),
        (MACHINE, ("list", "watch", "delete"), NAMESPACE),
        (POLICY, ("list", "watch"), ""),
        (DISCOVERY, ("list",), ""),
    )
    return [
        right
        for kind, verbs, namespace in needs
        for right in permissions.of_kind(api, *kind, verbs, namespace)
    ]
