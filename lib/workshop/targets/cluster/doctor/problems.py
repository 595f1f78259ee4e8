"""All that the cluster knows to be wrong: with the parts, and with what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from workshop.core.errors import PartTooSlow
from workshop.core.secret import Secret
from workshop.parts.catalog import notebook_of
from workshop.targets.base import Ailment
from workshop.targets.cluster import namespaces, permissions, preflight
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.deployed import DeployedParts
from workshop.targets.cluster.doctor.workloads import Workloads
from workshop.targets.cluster.errors import Forbidden, Refused, Unreachable
from workshop.targets.cluster.machines import machinesets, nodes, progress
from workshop.targets.cluster.machines.machinesets import MACHINE_SET, MADE_FROM
from workshop.targets.cluster.machines.operators import POLICY as GPU_POLICY
from workshop.targets.cluster.manifests import is_openshift, llama_stack
from workshop.targets.cluster.network import policies
from workshop.targets.cluster.network.isolation import POLICY, Isolation
from workshop.targets.cluster.objects import COMPONENT, labels_of
from workshop.targets.cluster.pod_status import PROBE, is_ready
from workshop.targets.cluster.store import Store

PRESENT = ("nvidia.com/gpu.present", "feature.node.kubernetes.io/pci-10de.present")
"""Labels of a node that has an NVIDIA GPU, offered or not: NFD's and the operator's."""

SHOWN = 6  # Ways that are named, of many that are closed.
GPU_NODES, NETWORK = "gpu-nodes", "network"


class Problems:
    """Works in the namespace of ``api``, and changes nothing."""

    def __init__(
        self, api: Api, store: Store, deployed: DeployedParts, isolation: Isolation
    ) -> None:
        self._api = api
        self._store = store
        self._deployed = deployed
        self._isolation = isolation

    def found(self) -> list[Ailment]:
        """Everything, what others rest on first; what this user may not see is left out."""
        try:
            rights = self._rights()
            if not namespaces.is_visible(self._api):
                return rights
        except (Refused, Unreachable, PartTooSlow) as error:
            hint = error.hint or "kubectl get namespaces: is the cluster up, and reached from here?"
            return [Ailment("cluster", error.what, error.state, hint)]
        found = [*rights, *self._seen(self._machines), *self._seen(self._idle_gpus)]
        try:
            workloads = Workloads(self._api, self._hidden())
        except Forbidden as error:
            return found or [Ailment("permissions", error.what, error.state, error.hint)]
        found += self._seen(lambda: self._network(workloads))
        found += self._seen(lambda: self._no_room(workloads))
        # A part that is kept from its only fitting node is told once.
        told = {one.part for one in found}
        found += [one for one in self._seen(workloads.problems) if one.part not in told]
        return found + self._seen(lambda: self._gone(workloads))

    def _seen(self, look: Callable[[], Iterable[Ailment]]) -> list[Ailment]:
        try:
            return list(look())
        except Forbidden:
            # What this user lacks was told before.
            return []

    def _hidden(self) -> list[Secret]:
        try:
            return self._store.secrets()
        except Forbidden:
            return []

    def _rights(self) -> list[Ailment]:
        lacks = preflight.missing_rights(self._api)
        if not lacks:
            return []
        name, space = permissions.user(self._api), self._api.namespace
        bound = permissions.binding(name, space, lacks)[-1]
        text = permissions.explained(name, space, lacks, openshift=is_openshift(self._api))
        return [
            Ailment(
                "permissions",
                f"{name} may not do all that the notebooks need.",
                permissions.short(lacks),
                f"an administrator of the namespace runs {permissions.command(bound)}",
                tuple(text.splitlines()),
            )
        ]

    def _machines(self) -> Iterator[Ailment]:
        """Machines that the cloud does not give."""
        sets = self._api.list(*MACHINE_SET, namespace=machinesets.NAMESPACE)
        ours = [one for one in sets if labels_of(one).get(MADE_FROM) == self._api.namespace]
        zones = machinesets.zones([one for one in sets if not machinesets.is_ours(one)])
        for machine in machinesets.machines(self._api, ours):
            others = [zone for zone in zones if zone != machinesets.zone_of(machine)]
            refused = progress.refusal(machine, others)
            if refused:
                hint = f"{refused.hint} ({notebook_of(GPU_NODES)})"
                yield Ailment(GPU_NODES, refused.what, refused.state, hint)

    def _idle_gpus(self) -> Iterator[Ailment]:
        """Nodes that do not offer their GPU."""
        for node in self._api.list(*nodes.NODE):
            has = any(labels_of(node).get(label) == "true" for label in PRESENT)
            if has and nodes.is_ready(node) and not nodes.gpus(node):
                states = [
                    str((one.get("status") or {}).get("state") or "no state yet")
                    for one in self._api.list(*GPU_POLICY)
                ]
                yield Ailment(
                    GPU_NODES,
                    f"The node {node['metadata']['name']} is Ready, and offers no {nodes.GPU}.",
                    f"ClusterPolicy: {', '.join(states) or 'none'}",
                    "the driver and the device plugin come after Ready, up to 15 minutes later; "
                    "then: oc get pods -n nvidia-gpu-operator",
                )

    def _no_room(self, workloads: Workloads) -> Iterator[Ailment]:
        """A pod that waits for a GPU beside a node that offers one, and is tainted against it."""
        waiting = [
            (workload.part, pod)
            for workload in workloads.all
            for pod in workload.seen.pods
            if not pod["spec"].get("nodeName") and nodes.wanted(pod)
        ]
        if not waiting:
            return
        offering = [one for one in self._api.list(*nodes.NODE) if nodes.gpus(one)]
        for part, pod in waiting:
            for node in offering:
                taints = nodes.untolerated(node, pod)
                if taints:
                    name = node["metadata"]["name"]
                    key, _, effect = taints[0].partition(":")
                    yield Ailment(
                        part,
                        f"{part} waits for a GPU, and does not tolerate the taint of {name}.",
                        f"taint {', '.join(taints)}; it tolerates {nodes.tolerated(pod)}",
                        f"kubectl taint node {name} {key}:{effect}- and taint it "
                        f"{nodes.GPU}:NoSchedule, which the kit's model and the GPU operator "
                        "tolerate",
                    )
                    break

    def _network(self, workloads: Workloads) -> Iterator[Ailment]:
        """Declared ways between parts that are here, which policies close."""
        found = self._api.list(*POLICY)
        if not found:
            return
        try:
            space = labels_of(namespaces.find(self._api))
        except Forbidden:
            space = {}
        space = space | {"kubernetes.io/metadata.name": self._api.namespace}
        # By their labels, as policies see them: a part may have pods of more than one kind.
        pods = {
            peer: pod
            for pod in workloads.pods
            if is_ready(pod)
            and PROBE not in labels_of(pod)
            and (peer := policies.part_of(labels_of(pod)))
        }
        said: list[str] = []
        closing: set[str] = set()
        for way in self._isolation.declared(self._deployed.locations()):
            if way.allowed and way.source in pods and way.destination in pods:
                ends = pods[way.source], pods[way.destination]
                if closed := policies.closed(*ends, way.port, found, space):
                    said.append(f"{way.name}: {closed}")
                    closing |= set(closed.policies)
        for part, pod in pods.items():
            if blind := policies.without_names(pod, found):
                said.append(f"{part} to DNS: egress closed by {', '.join(blind)}")
                closing |= set(blind)
        if said:
            yield Ailment(
                NETWORK,
                f"{len(said)} of the ways that parts need are closed by NetworkPolicies.",
                "; ".join(said[:SHOWN]),
                "run 08_secure_the_network again: it opens what is declared; of policies that are "
                f"not the kit's: kubectl describe networkpolicy {' '.join(sorted(closing))}",
            )

    def _gone(self, workloads: Workloads) -> Iterator[Ailment]:
        """Parts that were deployed, and that nothing runs any more."""
        there = {workload.part for workload in workloads.all}
        there |= {labels_of(one).get(COMPONENT, "") for one in workloads.resources}
        served, kept = llama_stack.serves(self._api), self._store.recall("server")
        for part in self._deployed.locations():
            if part in there:
                continue
            kind, state = "workload", "its Deployment was removed"
            hint = f"run {notebook_of(part)} again"
            if part == llama_stack.NAME and kept and served and kept != served:
                kind = llama_stack.OPERATORS[kept].kind
                state = f"the cluster knows {llama_stack.OPERATORS[served].kind} alone: the "
                state += "operator was replaced, and does not take the old kind over"
                hint += ', with SERVER = "auto"; then 08_secure_the_network'
            yield Ailment(part, f"{part} was deployed, and its {kind} is gone.", state, hint)
