"""GPU nodes: a MachineSet of the kit's own, followed until its nodes offer a GPU, and removed."""

from __future__ import annotations

import functools
import time

import yaml

from workshop.core.errors import SettingsError
from workshop.core.progress import Stages
from workshop.core.wait import NotYet, wait_for
from workshop.targets.base import Accelerator, Machines
from workshop.targets.cluster import permissions
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.errors import Forbidden
from workshop.targets.cluster.informer import Informer
from workshop.targets.cluster.machines import autoscaling, machinesets, nodes, operators
from workshop.targets.cluster.machines.machinesets import MACHINE, MACHINE_SET, made_here
from workshop.targets.cluster.machines.nodes import NODE
from workshop.targets.cluster.machines.operators import Operators
from workshop.targets.cluster.machines.progress import Arrival, is_failed
from workshop.targets.cluster.permissions import Right

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
        if lacks:
            return (
                f"adding machines is an administrator's step, and this user may not: "
                f"{permissions.short(lacks)}"
            )
        return None

    def accelerators(self) -> list[Accelerator]:
        """The nodes that offer a GPU; none where this user may not see nodes."""
        try:
            return nodes.accelerators(self._api.list(*NODE))
        except Forbidden:
            return []

    def add(self, wanted: Machines, *, dry_run: bool, timeout: float, stage: Stages) -> str:
        """Make the MachineSet, and wait for its nodes; see ``Target.add_machines``."""
        ends = time.monotonic() + timeout
        machine_set, others = self._plan(wanted)
        name, zone = machine_set["metadata"]["name"], machinesets.zone_of(machine_set)
        replicas = machine_set["spec"]["replicas"]
        stage(f"{machinesets.priced(wanted.machine_type, replicas)}; zone {zone}")
        grown = autoscaling.wanted(machine_set, wanted.replicas, wanted.most, self._api)
        if dry_run:
            for one in (machine_set, *grown):
                self._api.apply(one, dry_run=True)
            return self._shown(machine_set, wanted.machine_type, grown)
        Operators(self._api, self._informer).ensure(timeout=ends - time.monotonic(), stage=stage)
        gone = self._tidy(machine_set, stage)
        there = self._api.get(*MACHINE_SET, name, machinesets.NAMESPACE)
        stage(f"{'taking up' if there else 'making'} MachineSet {name}")
        # First: it would bring a number that it does not allow back.
        for told in autoscaling.ensure(self._api, machine_set, grown):
            stage(told)
        if there and there["spec"].get("replicas") != replicas:
            # Whoever set the number, such as the autoscaler, owns it: to apply another one would be
            # a conflict, while a patch takes it over.
            self._api.merge(machine_set, {"spec": {"replicas": replicas}})
        applied = self._api.apply(machine_set)
        arrival = Arrival(self._informer, applied, others, gone, stage)
        found = wait_for(
            f"{replicas} x {nodes.GPU}",
            arrival.state,
            timeout=max(1.0, ends - time.monotonic()),
            stage=stage,
            every=0.1,
            where=f"MachineSet {name}, namespace {machinesets.NAMESPACE}",
            hint=f"oc get machines -n {machinesets.NAMESPACE}; oc get pods -n nvidia-gpu-operator; "
            "run this cell again to go on waiting",
        )
        verb = "reused" if there else "created"
        return f"MachineSet {name} {verb}; nodes with a GPU: {', '.join(found)}"

    def remove(self) -> list[str]:
        """Remove this namespace's MachineSets, wait for their Machines to go; operators stay."""
        ours = made_here(self._api, MACHINE_SET)
        # First: they would ask for the machines again.
        autoscalers = autoscaling.remove(self._api)
        for machine_set in ours:
            self._api.delete(machine_set)
        if ours:
            wait_for(
                "the machines to be gone",
                lambda: self._gone(ours),
                timeout=GONE,
                every=0.5,
                where=f"namespace {machinesets.NAMESPACE}",
                hint=f"oc get machines -n {machinesets.NAMESPACE}: a pod that cannot be moved may "
                "hold a node; until its machine is gone, it costs money",
            )
        names = [f"MachineSet {one['metadata']['name']} and its machines" for one in ours]
        return [*autoscalers, *names]

    def left(self) -> list[str]:
        """The MachineSets made from this namespace that are still there."""
        sets = [
            f"MachineSet {one['metadata']['name']}" for one in made_here(self._api, MACHINE_SET)
        ]
        return sets + autoscaling.left(self._api)

    def _plan(self, wanted: Machines) -> tuple[Object, list[str]]:
        """The MachineSet to make, and the other zones, nearest in the list first."""
        sets = self._api.list(*MACHINE_SET, namespace=machinesets.NAMESPACE)
        models = machinesets.workers(sets)
        zones = machinesets.zones(models)
        ours = [one for one in sets if machinesets.is_ours(one)]
        # Without a choice, where an earlier run started.
        zone = wanted.zone or next((z for z in map(machinesets.zone_of, ours) if z in zones), "")
        made = machinesets.clone(machinesets.in_zone(models, zone), wanted, self._api.namespace)
        self._refuse_another_type(made)
        least = max(1, wanted.replicas - self._foreign(ours))
        made["spec"]["replicas"] = autoscaling.kept(made, ours, least, wanted.most)
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
                    f"{name} -n {machinesets.NAMESPACE}",
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

    def _gone(self, ours: list[Object]) -> object:
        left = [*machinesets.machines(self._api, ours), *made_here(self._api, MACHINE_SET)]
        names = [one["metadata"]["name"] for one in left]
        return NotYet("still there: " + ", ".join(names)) if names else True

    def _shown(self, machine_set: Object, machine_type: str, grown: list[Object]) -> str:
        """A dry run's result: what would be made, as YAML, and what it would cost."""
        missing = [one.package for one in Operators(self._api, self._informer).missing()]
        lines = [f"# A dry run: nothing was made. {machine_set['kind']} that would be:"]
        lines += [f"# {machinesets.priced(machine_type, machine_set['spec']['replicas'])}"]
        lines += [f"# Operators that would be installed: {', '.join(missing)}"] if missing else []
        made = yaml.safe_dump_all([machine_set, *grown], sort_keys=False).rstrip()
        return "\n".join([*lines, made])


def rights(api: Api) -> list[Right]:
    """What adding machines needs besides the user's namespace."""
    space = machinesets.NAMESPACE
    of_kind = functools.partial(permissions.of_kind, api)
    return [
        *of_kind(*NODE, ["list", "watch"], ""),
        *of_kind(*MACHINE_SET, ["get", "list", "create", "patch", "delete"], space),
        *of_kind(*MACHINE, ["list", "watch", "delete"], space),
        *of_kind(*operators.POLICY, ["list", "watch"], ""),
        *of_kind(*operators.DISCOVERY, ["list"], ""),
    ]
