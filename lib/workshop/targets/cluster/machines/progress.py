"""A new machine's way to a node that offers a GPU, as the watches tell it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from workshop.core.errors import PartFailed
from workshop.core.progress import Stages
from workshop.core.wait import NotYet
from workshop.targets.cluster.api import Object
from workshop.targets.cluster.errors import Unreachable
from workshop.targets.cluster.informer import Informer
from workshop.targets.cluster.machines import machinesets, nodes
from workshop.targets.cluster.machines.machinesets import MACHINE, MEMBER
from workshop.targets.cluster.machines.operators import POLICY
from workshop.targets.cluster.objects import labels_of

QUOTA = ("VcpuLimitExceeded", "InstanceLimitExceeded")
"""AWS's codes when the account may not have more of such machines."""

ELSEWHERE = ("InsufficientInstanceCapacity", "sufficient capacity", "Unsupported")
"""AWS's words when a zone has none left, or never has that type."""

# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
QUOTA_HINT = (
    'the quota "Running On-Demand G and VT instances" counts vCPUs in a region, and another zone '
    "does not help: have it raised (AWS Service Quotas, code L-DB2E81BA), or set MACHINE_TYPE to a "
    "smaller one"
)


class Arrival:
    """Follows the machines of one MachineSet, as it was applied, and tells each stage once.

    ``zones`` are others to try when this one has no machine; ``ignored`` are the uids of Machines
    that were deleted before.
    """

    def __init__(
        self,
        informer: Informer,
        machine_set: Object,
        zones: Sequence[str],
        ignored: Collection[str],
        stage: Stages,
    ) -> None:
        self._informer = informer
        self._name = machine_set["metadata"]["name"]
        self._wanted = int(machine_set["spec"]["replicas"])
        self._zones = zones
        self._ignored = ignored
        self._stage = stage
        self._told: set[str] = set()

    def state(self) -> list[str] | NotYet:
        """The nodes once all offer a GPU, or what is missing; raises where the cloud refuses."""
        try:
            return self._state()
        except Unreachable as error:
            return NotYet(f"{error.what} {error.state}")

    def _state(self) -> list[str] | NotYet:
        machines = self._machines()
        for machine in machines:
            refused = refusal(machine, self._zones)
            if refused is not None:
                raise refused
            self._tell(f"Machine {machine['metadata']['name']} is there")
        if len(machines) < self._wanted:
            return NotYet(f"{len(machines)} of {self._wanted} Machines are there")
        for machine in machines:
            if not _node_of(machine):
                return NotYet(_describe(machine))
            self._tell(f"Machine {machine['metadata']['name']} is the node {_node_of(machine)}")
        return self._nodes([_node_of(machine) for machine in machines])

    def _nodes(self, names: list[str]) -> list[str] | NotYet:
        known = {one["metadata"]["name"]: one for one in self._informer.all(*nodes.NODE)}
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
        return [
            one
            for one in self._informer.all(*MACHINE, namespace=machinesets.NAMESPACE)
            if labels_of(one).get(MEMBER) == self._name
            and not one["metadata"].get("deletionTimestamp")
            and one["metadata"]["uid"] not in self._ignored
        ]

    def _policy(self) -> str:
        """The state of the cluster's ClusterPolicy; "none" where GPUs come another way."""
        states = [
            str((one.get("status") or {}).get("state") or "no state yet")
            for one in self._informer.all(*POLICY)
        ]
        # The operator says "ignored" of every one but the first.
        counted = [state for state in states if state != "ignored"]
        return counted[0] if counted else "none"

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._stage(text)


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
        where=f"Machine {name}, namespace {machinesets.NAMESPACE}, "
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
        f"oc describe machine {name} -n {machinesets.NAMESPACE}; the cluster has no workers in "
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
