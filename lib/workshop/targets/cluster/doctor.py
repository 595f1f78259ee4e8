"""What the cluster knows to be wrong: with the parts, and with what they rest on.

Parts are found by labels, not by what a notebook kept: one that never came up is looked at as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import yaml

from workshop.core.errors import PartTooSlow
from workshop.core.secret import Secret, mask
from workshop.targets.base import PATIENCE, Problem
from workshop.targets.cluster import (
    namespaces,
    objects,
    permissions,
    pod_status,
    preflight,
    rollout,
    scaling,
)
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.deployed import DeployedParts
from workshop.targets.cluster.endpoints import HAPROXY, admitted, seconds_of
from workshop.targets.cluster.errors import Forbidden, Refused, Unreachable
from workshop.targets.cluster.machines import machines, machinesets, nodes
from workshop.targets.cluster.machines.machinesets import MACHINE_SET, MADE_FROM
from workshop.targets.cluster.machines.operators import POLICY as GPU_POLICY
from workshop.targets.cluster.manifests import ROUTE, is_openshift, llama_stack
from workshop.targets.cluster.network import policies
from workshop.targets.cluster.network.isolation import POLICY, Isolation
from workshop.targets.cluster.objects import COMPONENT, labels_of
from workshop.targets.cluster.pod_status import PROBE, Blocker, Seen, is_ready
from workshop.targets.spec import Parts

RESOURCES = (
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("llamastack.io/v1alpha1", "LlamaStackDistribution"),
    ("ogx.io/v1beta1", "OGXServer"),
)
"""The custom resources that operators turn into parts."""

RESTARTS = 2  # From this many restarts on, a container is reported though it runs now.
RECENT, TOOLS = timedelta(minutes=15), "mcp-server"


@dataclass(frozen=True)
class Workload:
    """One Deployment or StatefulSet, whoever made it, and what belongs to it."""

    part: str
    thing: Object
    seen: Seen
    replicas: int


@dataclass
class Workloads:
    """The parts' objects, read when it is made; no log shows the credentials ``hidden``."""

    api: Api
    hidden: Sequence[Secret]
    parts: Parts
    pods: list[Object] = field(init=False)
    services: list[Object] = field(init=False)
    resources: list[Object] = field(init=False)
    all: list[Workload] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        api = self.api
        self.pods = api.list("v1", "Pod")
        sets, claims = api.list("apps/v1", "ReplicaSet"), api.list("v1", "PersistentVolumeClaim")
        events, leaving = api.list("v1", "Event"), pod_status.leaving(self.pods)
        for thing in [*api.list("apps/v1", "Deployment"), *api.list("apps/v1", "StatefulSet")]:
            if part := self._part(thing):
                uid, labels = thing["metadata"]["uid"], thing["spec"]["selector"]["matchLabels"]
                mine = [o for o in sets if objects.is_owned(o, uid) and o["spec"].get("replicas")]
                pods = pod_status.current(self.pods, labels, "")
                seen = Seen(pods, mine, claims, events, leaving)
                self.all.append(Workload(part, thing, seen, int(thing["spec"].get("replicas", 1))))
        self.services = [one for one in api.list("v1", "Service") if self._part(one)]
        self.resources = [o for kind in RESOURCES for o in api.list(*kind, objects.OURS)]

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong, a part's own pods first."""
        yield from filter(None, map(self._of_pods, self.all))
        yield from self._of_jobs()
        yield from self._of_resources()
        yield from self._of_services()
        yield from self._of_replicas()
        yield from self._of_routes()

    def _of_pods(self, workload: Workload) -> Problem | None:
        images = (*pod_status.IMAGE, pod_status.ONCE)
        found = (
            pod_status.find(workload.seen, images)
            or self._held_volume(workload)
            or _restarts(workload)
        )
        if found is not None:
            # A part that ends may do so for want of what it needs; the rest is its own fault.
            ended = "ends again" in found.what or "ended again" in found.what
            because = ("gpu-nodes",) if "GPU" in found.what else None if ended else ()
            return self._problem(workload.part, found, because)
        waiting = [pod for pod in workload.seen.pods if not is_ready(pod)]
        if len(workload.seen.pods) - len(waiting) >= workload.replicas:
            return None
        # Whose log is shown.
        name, container = pod_status.by_age(waiting)[-1] if waiting else ("", "")
        unready = Blocker(
            "is not ready",
            pod_status.describe(workload.seen),
            f"it may still be starting: ask again in a minute; else {self._again(workload.part)}",
            name,
            container,
        )
        return self._problem(workload.part, unready, None)

    def _of_jobs(self) -> Iterator[Problem]:
        for job in self.api.list("batch/v1", "Job", objects.OURS):
            found, part = pod_status.failed_job(job), self._part(job)
            if found and part:
                yield self._problem(part, found, None)

    def _of_resources(self) -> Iterator[Problem]:
        running = {workload.part for workload in self.all}
        for resource in self.resources:
            part = self._part(resource)
            found = pod_status.given_up(resource)
            if found:
                yield self._problem(part, found, None)
            elif part not in running:
                kind, name = resource["kind"], resource["metadata"]["name"]
                yield Problem(
                    part,
                    f"The operator has done nothing with the {kind} {name}.",
                    pod_status.awaited(resource),
                    "kubectl get pods -A | grep operator: the operator must run, and watch this "
                    f"namespace; then {self._again(part)}",
                )

    def _of_services(self) -> Iterator[Problem]:
        for service in self.services:
            part, selector = self._part(service), service["spec"].get("selector") or {}
            mine = [pod for one in self.all if one.part == part for pod in one.seen.pods]
            if not selector or not mine:
                continue
            if not any(selector.items() <= labels_of(pod).items() for pod in self.pods):
                have = {key: labels_of(mine[0]).get(key, "(none)") for key in selector}
                yield Problem(
                    part,
                    f"The Service {service['metadata']['name']} leads to no pod.",
                    f"it selects {_said(selector)}, and the part's pods have {_said(have)}",
                    f"another generation of the operator has other labels: {self._again(part)}",
                )

    def _of_replicas(self) -> Iterator[Problem]:
        """Several pods of a part whose vectors, tables, volume or sessions are each one's own."""
        for workload in self.all:
            part, replicas = workload.part, workload.replicas
            if replicas < 2 or workload.thing["kind"] == "StatefulSet":
                continue
            kept = scaling.lonely(workload.thing, workload.seen.claims)
            kept += _inside(self.api) if part == llama_stack.NAME else []
            if kept:
                yield Problem(
                    part,
                    f"{part} has {replicas} replicas, and can have only one.",
                    "; ".join(kept),
                    f"kubectl scale deployment {workload.thing['metadata']['name']} --replicas=1; "
                    "10_scale_out gives it storage that replicas share",
                )
            if part == TOOLS and not self._is_sticky(workload):
                yield Problem(
                    TOOLS,
                    f"mcp-server has {replicas} replicas, and its Service sends a client now to "
                    "one, now to another.",
                    "a session is in one pod's memory, and another answers: session not found; the "
                    "Service has no sessionAffinity ClientIP",
                    "run 05_deploy_mcp_server again: its Service keeps a client with a pod; or one "
                    "replica",
                )

    def _is_sticky(self, workload: Workload) -> bool:
        labels = workload.thing["spec"]["template"]["metadata"]["labels"]
        return all(
            one["spec"].get("sessionAffinity") == "ClientIP"
            for one in self.services
            if one["spec"].get("selector")
            and one["spec"]["selector"].items() <= labels.items()
            # One without an address sends nobody anywhere: Prometheus finds the pods by it.
            and one["spec"].get("clusterIP") != "None"
        )

    def _of_routes(self) -> Iterator[Problem]:
        parts = {one["metadata"]["name"]: self._part(one) for one in self.services}
        for route in self.api.list(*ROUTE):
            part, name = parts.get(route["spec"]["to"]["name"], ""), route["metadata"]["name"]
            if not part:
                continue
            refused, allowed = pod_status.refused_route(route), seconds_of(route)
            if refused:
                yield self._problem(part, refused, ())
            elif not admitted(route):
                yield Problem(
                    part,
                    f"No router has admitted the Route {name}.",
                    "its status is empty",
                    f"kubectl get ingresscontroller -A; kubectl describe route {name}",
                )
            elif allowed < PATIENCE:
                yield Problem(
                    part,
                    f"The Route {name} ends an answer after {allowed:g} s.",
                    "a longer answer ends in 504 Gateway Timeout",
                    f"kubectl annotate route {name} --overwrite {HAPROXY}=300s; or "
                    f"{self._again(part)}",
                )

    def _problem(self, part: str, found: Blocker, because: tuple[str, ...] | None) -> Problem:
        state = found.state
        if because != ("gpu-nodes",) and self._is_called_ready(part):
            state += "; its InferenceService says Ready all the same"
        lines = rollout.tail(self.api, found.pod, found.container, previous=found.previous)
        log = tuple(mask(line, self.hidden) for line in lines)
        return Problem(part, f"{part} {found.what}.", state, found.hint, log, because)

    def _is_called_ready(self, part: str) -> bool:
        return any(
            one["kind"] == "InferenceService" and self._part(one) == part and is_ready(one)
            for one in self.resources
        )

    def _part(self, thing: Object) -> str:
        """The part that an object is of: by the kit's label, or by what operators' pods carry."""
        names, named = self.parts.on("cluster"), labels_of(thing).get(objects.COMPONENT, "")
        if named in names:
            return named
        spec = thing.get("spec") or {}
        carried: Object = labels_of(spec.get("template")) or spec.get("selector") or {}
        known = policies.part_of(carried.get("matchLabels", carried), self.parts.peers)
        return known if known in names else ""

    def _again(self, part: str) -> str:
        return f"run {self.parts.notebook(part)} again"

    def _held_volume(self, workload: Workload) -> Blocker | None:
        """A volume that a pod of another node holds: a rollout that waits for itself."""
        for pod in workload.seen.pods:
            for event in pod_status.events_of(pod, workload.seen.events):
                said = " ".join(str(event.get("message", "")).split())
                if "Multi-Attach" in said and not is_ready(pod):
                    return Blocker(
                        "waits for a volume that its other pod holds",
                        said,
                        'it is ReadWriteOnce: set the strategy of its Deployment to "Recreate", or '
                        f"kubectl delete the old pod; then {self._again(workload.part)}",
                    )
        return None


def _restarts(workload: Workload) -> Blocker | None:
    """A container that runs at this moment, and ended again and again before."""
    for pod in workload.seen.pods:
        for one in (pod.get("status") or {}).get("containerStatuses") or []:
            last = (one.get("lastState") or {}).get("terminated") or {}
            often = one.get("restartCount", 0) >= RESTARTS and last.get("exitCode")
            if often and _is_recent(str(last.get("finishedAt") or "")):
                return Blocker(
                    "ends again and again, though it runs now",
                    f"exit code {last['exitCode']}, started {one['restartCount'] + 1} times",
                    f"its log says why: kubectl logs {pod['metadata']['name']} --previous",
                    *(pod["metadata"]["name"], one["name"], True),
                )
    return None


def _is_recent(moment: str) -> bool:
    """Whether this was within the last minutes: what has run since then has recovered."""
    try:
        return datetime.now(UTC) - datetime.fromisoformat(moment) < RECENT
    except (TypeError, ValueError):
        return False


def _said(labels: Object) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items())


def _inside(api: Api) -> list[str]:
    """The providers of the server's configuration that keep what they have in one pod."""
    found = api.get("v1", "ConfigMap", llama_stack.CONFIG)
    text = objects.content(found).get("config.yaml", "")
    stores = ((yaml.safe_load(text) or {}).get("providers") or {}).get("vector_io") or []
    kinds = [str(one.get("provider_type", "")) for one in stores]
    return [f"{kind} keeps its vectors in one pod" for kind in kinds if kind.startswith("inline::")]


PRESENT = ("nvidia.com/gpu.present", "feature.node.kubernetes.io/pci-10de.present")
"""Labels of a node that has an NVIDIA GPU, offered or not: NFD's and the operator's."""

SHOWN = 6  # Ways that are named, of many that are closed.
GPU_NODES, NETWORK = "gpu-nodes", "network"


class Problems:
    """Works in the namespace of ``api``, and changes nothing."""

    def __init__(self, api: Api, deployed: DeployedParts, isolation: Isolation) -> None:
        self._api = api
        self._store = deployed.store
        self._deployed = deployed
        self._parts = deployed.parts
        self._isolation = isolation

    def found(self) -> list[Problem]:
        """Everything, what others rest on first; what this user may not see is left out."""
        try:
            rights = self._rights()
            if not namespaces.is_visible(self._api):
                return rights
        except (Refused, Unreachable, PartTooSlow) as error:
            hint = error.hint or "kubectl get namespaces: is the cluster up, and reached from here?"
            return [Problem("cluster", error.what, error.state, hint)]
        found = [*rights, *self._seen(self._machines), *self._seen(self._idle_gpus)]
        try:
            workloads = Workloads(self._api, self._seen(self._store.secrets), self._parts)
        except Forbidden as error:
            return found or [Problem("permissions", error.what, error.state, error.hint)]
        found += self._seen(lambda: self._network(workloads))
        found += self._seen(lambda: self._no_room(workloads))
        # A part that is kept from its only fitting node is told once.
        told = {one.part for one in found}
        found += [one for one in self._seen(workloads.problems) if one.part not in told]
        return found + self._seen(lambda: self._gone(workloads))

    def _seen[T](self, look: Callable[[], Iterable[T]]) -> list[T]:
        try:
            return list(look())
        except Forbidden:
            # What this user lacks was told before.
            return []

    def _rights(self) -> list[Problem]:
        lacks = preflight.missing_rights(self._api)
        if not lacks:
            return []
        name, space = permissions.user(self._api), self._api.namespace
        bound = permissions.binding(name, space, lacks)[-1]
        text = permissions.explained(name, space, lacks, openshift=is_openshift(self._api))
        what = f"{name} may not do all that the notebooks need."
        hint = f"an administrator of the namespace runs {permissions.command(bound)}"
        state, lines = permissions.short(lacks), tuple(text.splitlines())
        return [Problem("permissions", what, state, hint, lines)]

    def _machines(self) -> Iterator[Problem]:
        """Machines that the cloud does not give."""
        sets = self._api.list(*MACHINE_SET, namespace=machinesets.NAMESPACE)
        ours = [one for one in sets if labels_of(one).get(MADE_FROM) == self._api.namespace]
        zones = machinesets.zones([one for one in sets if not machinesets.is_ours(one)])
        for machine in machinesets.machines(self._api, ours):
            others = [zone for zone in zones if zone != machinesets.zone_of(machine)]
            refused = machines.refusal(machine, others)
            if refused:
                hint = f"{refused.hint} ({self._parts.notebook(GPU_NODES)})"
                yield Problem(GPU_NODES, refused.what, refused.state, hint)

    def _idle_gpus(self) -> Iterator[Problem]:
        """Nodes that do not offer their GPU."""
        for node in self._api.list(*nodes.NODE):
            has = any(labels_of(node).get(label) == "true" for label in PRESENT)
            if has and nodes.is_ready(node) and not nodes.gpus(node):
                states = [
                    str((one.get("status") or {}).get("state") or "no state yet")
                    for one in self._api.list(*GPU_POLICY)
                ]
                yield Problem(
                    GPU_NODES,
                    f"The node {node['metadata']['name']} is Ready, and offers no {nodes.GPU}.",
                    f"ClusterPolicy: {', '.join(states) or 'none'}",
                    "the driver and the device plugin come after Ready, up to 15 minutes later; "
                    "then: oc get pods -n nvidia-gpu-operator",
                )

    def _no_room(self, workloads: Workloads) -> Iterator[Problem]:
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
                    yield Problem(
                        part,
                        f"{part} waits for a GPU, and does not tolerate the taint of {name}.",
                        f"taint {', '.join(taints)}; it tolerates {nodes.tolerated(pod)}",
                        f"kubectl taint node {name} {key}:{effect}- and taint it "
                        f"{nodes.GPU}:NoSchedule, which the kit's model and the GPU operator "
                        "tolerate",
                    )
                    break

    def _network(self, workloads: Workloads) -> Iterator[Problem]:
        """Declared ways between parts that are here, which policies close."""
        found = self._api.list(*POLICY)
        if not found:
            return
        try:
            space = labels_of(namespaces.find(self._api))
        except Forbidden:
            space = {}
        space = space | {"kubernetes.io/metadata.name": self._api.namespace}
        peers = self._parts.peers
        # By their labels, as policies see them: a part may have pods of more than one kind.
        pods = {
            peer: pod
            for pod in workloads.pods
            if is_ready(pod)
            and PROBE not in labels_of(pod)
            and (peer := policies.part_of(labels_of(pod), peers))
        }
        said: list[str] = []
        closing: set[str] = set()
        for way in self._isolation.declared():
            if way.allowed and way.source in pods and way.destination in pods:
                ends = pods[way.source], pods[way.destination]
                if closed := policies.closed(*ends, way.port, found, space, peers):
                    said.append(f"{way.name}: {closed}")
                    closing |= set(closed.policies)
        for part, pod in pods.items():
            if blind := policies.without_names(pod, found):
                said.append(f"{part} to DNS: egress closed by {', '.join(blind)}")
                closing |= set(blind)
        if said:
            yield Problem(
                NETWORK,
                f"{len(said)} of the connections that parts need are closed by NetworkPolicies.",
                "; ".join(said[:SHOWN]),
                "run 08_secure_the_network again: it opens what is declared; for policies that are "
                f"not the kit's: kubectl describe networkpolicy {' '.join(sorted(closing))}",
            )

    def _gone(self, workloads: Workloads) -> Iterator[Problem]:
        """Parts that were deployed, and that nothing runs any more."""
        there = {workload.part for workload in workloads.all}
        there |= {labels_of(one).get(COMPONENT, "") for one in workloads.resources}
        served, kept = llama_stack.serves(self._api), self._store.recall("server")
        for part in self._deployed.locations():
            if part in there:
                continue
            kind, state = "workload", "its Deployment was removed"
            hint = f"run {self._parts.notebook(part)} again"
            if part == llama_stack.NAME and kept and served and kept != served:
                kind = llama_stack.OPERATORS[kept].kind
                state = f"the cluster knows only {llama_stack.OPERATORS[served].kind}: the "
                state += "operator was replaced, and the new one does not use the old kind"
                hint += ', with SERVER = "auto"; then 08_secure_the_network'
            yield Problem(part, f"{part} was deployed, and its {kind} is gone.", state, hint)
