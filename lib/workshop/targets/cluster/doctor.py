"""What the cluster knows to be wrong: with the parts, and with what they rest on.

Parts are found by labels, not by what a notebook kept: one that never came up is looked at as well.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import yaml

from workshop.core.errors import PartTooSlow
from workshop.core.secret import mask
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
from workshop.targets.cluster.endpoints import HAPROXY, admitted, seconds_of
from workshop.targets.cluster.errors import Forbidden, Refused, Unreachable, if_allowed
from workshop.targets.cluster.machines import machinesets, nodes
from workshop.targets.cluster.machines.machinesets import MACHINE_SET, MADE_FROM
from workshop.targets.cluster.machines.operators import POLICY as GPU_POLICY
from workshop.targets.cluster.manifests import ROUTE, is_openshift, llama_stack
from workshop.targets.cluster.network import POLICY, Isolation, policies
from workshop.targets.cluster.objects import COMPONENT, is_ready, labels_of
from workshop.targets.cluster.pod_status import PROBE, Blocker, Seen
from workshop.targets.cluster.store import DeployedParts
from workshop.targets.spec import Parts

RESTARTS = 2  # From this many restarts on, a container is reported though it runs now.
RECENT = timedelta(minutes=15)  # What has run for longer has recovered.
SHOWN = 6  # Ways that are named, of many that are closed.
GPU_NODES, NETWORK, TOOLS = "gpu-nodes", "network", "mcp-server"

PRESENT = ("nvidia.com/gpu.present", "feature.node.kubernetes.io/pci-10de.present")
"""Labels of a node that has an NVIDIA GPU, offered or not: NFD's and the operator's."""


def problems(api: Api, deployed: DeployedParts, isolation: Isolation) -> list[Problem]:
    """Everything, what others rest on first; what this user may not see is left out."""
    try:
        rights = _rights(api)
        if not namespaces.is_visible(api):
            return rights
    except (Refused, Unreachable, PartTooSlow) as error:
        hint = error.hint or "kubectl get namespaces: is the cluster up, and reached from here?"
        return [Problem("cluster", error.what, error.state, hint)]
    found = [*rights, *_seen(lambda: _machines(api, deployed.parts)), *_seen(lambda: _gpus(api))]
    try:
        workloads = Workloads(api, deployed, isolation)
    except Forbidden as error:
        return found or [Problem("permissions", error.what, error.state, error.hint)]
    found += _seen(workloads.network) + _seen(workloads.no_room)
    # A part that is kept from its only fitting node is told once.
    told = {one.part for one in found}
    found += [one for one in _seen(workloads.problems) if one.part not in told]
    return found + _seen(workloads.gone)


def _seen[T](look: Callable[[], Iterable[T]]) -> list[T]:
    # What this user lacks was told before.
    return if_allowed(lambda: list(look()), [])


def _rights(api: Api) -> list[Problem]:
    lacks = preflight.missing_rights(api)
    if not lacks:
        return []
    name, space = permissions.user(api), api.namespace
    bound = permissions.binding(name, space, lacks)[-1]
    text = permissions.explained(name, space, lacks, openshift=is_openshift(api))
    what = f"{name} may not do all that the notebooks need."
    hint = f"an administrator of the namespace runs {permissions.command(bound)}"
    state, lines = permissions.short(lacks), tuple(text.splitlines())
    return [Problem("permissions", what, state, hint, lines)]


def _machines(api: Api, parts: Parts) -> Iterator[Problem]:
    """Machines that the cloud does not give."""
    sets = api.list(*MACHINE_SET, namespace=machinesets.NAMESPACE)
    ours = [one for one in sets if labels_of(one).get(MADE_FROM) == api.namespace]
    zones = machinesets.zones([one for one in sets if not objects.is_ours(one)])
    for machine in machinesets.machines(api, ours):
        others = [zone for zone in zones if zone != machinesets.zone_of(machine)]
        if refused := machinesets.refusal(machine, others):
            hint = f"{refused.hint} ({parts.notebook(GPU_NODES)})"
            yield Problem(GPU_NODES, refused.what, refused.state, hint)


def _gpus(api: Api) -> Iterator[Problem]:
    """Nodes that do not offer their GPU."""
    for node in api.list(*nodes.NODE):
        has = any(labels_of(node).get(label) == "true" for label in PRESENT)
        if has and is_ready(node) and not nodes.gpus(node):
            found = [(one.get("status") or {}).get("state") for one in api.list(*GPU_POLICY)]
            states = ", ".join(str(state or "no state yet") for state in found)
            yield Problem(
                GPU_NODES,
                f"The node {node['metadata']['name']} is Ready, and offers no {nodes.GPU}.",
                f"ClusterPolicy: {states or 'none'}",
                "the driver and the device plugin come after Ready, up to 15 minutes later; "
                "then: oc get pods -n nvidia-gpu-operator",
            )


@dataclass(frozen=True)
class Workload:
    """One Deployment or StatefulSet, whoever made it, and what belongs to it."""

    part: str
    thing: Object
    seen: Seen

    @property
    def replicas(self) -> int:
        """How many pods it should have."""
        return int(self.thing["spec"].get("replicas", 1))


class Workloads:
    """The parts' objects in the namespace of ``api``, read when it is made, and what they lack."""

    def __init__(self, api: Api, deployed: DeployedParts, isolation: Isolation) -> None:
        self._api = api
        self._deployed = deployed
        self._isolation = isolation
        self._parts = deployed.parts
        self._hidden = _seen(deployed.store.secrets)  # In no log that is shown.
        self._pods = api.list("v1", "Pod")
        self._all: list[Workload] = []
        sets, claims = api.list("apps/v1", "ReplicaSet"), api.list("v1", "PersistentVolumeClaim")
        events, leaving = api.list("v1", "Event"), pod_status.leaving(self._pods)
        for thing in [*api.list("apps/v1", "Deployment"), *api.list("apps/v1", "StatefulSet")]:
            if part := self._part(thing):
                uid, labels = thing["metadata"]["uid"], thing["spec"]["selector"]["matchLabels"]
                mine = [o for o in sets if objects.is_owned(o, uid) and o["spec"].get("replicas")]
                pods = pod_status.current(self._pods, labels, "")
                self._all.append(Workload(part, thing, Seen(pods, mine, claims, events, leaving)))
        self._services = [one for one in api.list("v1", "Service") if self._part(one)]
        self._resources = [o for kind in objects.OPERATED for o in api.list(*kind, objects.OURS)]

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong, a part's own pods first."""
        yield from filter(None, map(self._of_pods, self._all))
        yield from self._of_jobs()
        yield from self._of_resources()
        yield from self._of_services()
        for workload in self._all:
            if workload.replicas > 1 and workload.thing["kind"] != "StatefulSet":
                yield from self._of_replicas(workload)
        yield from self._of_routes()

    def _of_pods(self, workload: Workload) -> Problem | None:
        part, seen = workload.part, workload.seen
        found = (
            pod_status.find(seen, (*pod_status.IMAGE, pod_status.ONCE))
            or self._held_volume(workload)
            or _restarts(seen.pods)
        )
        if found is not None:
            # A part that ends may do so for want of what it needs; the rest is its own fault.
            ended = "ends again" in found.what
            because = (GPU_NODES,) if "GPU" in found.what else None if ended else ()
            return self._problem(part, found, because)
        waiting = [pod for pod in seen.pods if not is_ready(pod)]
        if len(seen.pods) - len(waiting) >= workload.replicas:
            return None
        # Whose log is shown.
        name, container = pod_status.by_age(waiting)[-1] if waiting else ("", "")
        unready = Blocker(
            "is not ready",
            pod_status.describe(seen),
            f"it may still be starting: ask again in a minute; else {self._again(part)}",
            name,
            container,
        )
        return self._problem(part, unready, None)

    def _of_jobs(self) -> Iterator[Problem]:
        for job in self._api.list("batch/v1", "Job", objects.OURS):
            found, part = pod_status.failed_job(job), self._part(job)
            if found and part:
                yield self._problem(part, found, None)

    def _of_resources(self) -> Iterator[Problem]:
        running = {workload.part for workload in self._all}
        for resource in self._resources:
            part = self._part(resource)
            if found := pod_status.given_up(resource):
                yield self._problem(part, found, None)
            elif part not in running:
                yield Problem(
                    part,
                    f"The operator has done nothing with the {' '.join(objects.key(resource))}.",
                    pod_status.awaited(resource),
                    "kubectl get pods -A | grep operator: the operator must run, and watch this "
                    f"namespace; then {self._again(part)}",
                )

    def _of_services(self) -> Iterator[Problem]:
        for service in self._services:
            part, selector = self._part(service), service["spec"].get("selector") or {}
            mine = [pod for one in self._all if one.part == part for pod in one.seen.pods]
            if not selector or not mine:
                continue
            if not any(selector.items() <= labels_of(pod).items() for pod in self._pods):
                have = {key: labels_of(mine[0]).get(key, "(none)") for key in selector}
                yield Problem(
                    part,
                    f"The Service {service['metadata']['name']} leads to no pod.",
                    f"it selects {_said(selector)}, and the part's pods have {_said(have)}",
                    f"another generation of the operator has other labels: {self._again(part)}",
                )

    def _of_replicas(self, workload: Workload) -> Iterator[Problem]:
        """Several pods of a part whose vectors, tables, volume or sessions are each one's own."""
        part, several = workload.part, f"{workload.part} has {workload.replicas} replicas, and"
        kept = scaling.lonely(workload.thing, workload.seen.claims)
        kept += _inside(self._api) if part == llama_stack.NAME else []
        if kept:
            yield Problem(
                part,
                f"{several} can have only one.",
                "; ".join(kept),
                f"kubectl scale deployment {workload.thing['metadata']['name']} --replicas=1; "
                "10_scale_out gives it storage that replicas share",
            )
        if part == TOOLS and not self._is_sticky(workload):
            yield Problem(
                part,
                f"{several} its Service sends a client now to one, now to another.",
                "a session is in one pod's memory, and another answers: session not found; the "
                "Service has no sessionAffinity ClientIP",
                "run 05_deploy_mcp_server again: its Service keeps a client with a pod; or one "
                "replica",
            )

    def _is_sticky(self, workload: Workload) -> bool:
        labels = workload.thing["spec"]["template"]["metadata"]["labels"]
        return all(
            one["spec"].get("sessionAffinity") == "ClientIP"
            for one in self._services
            if one["spec"].get("selector")
            and one["spec"]["selector"].items() <= labels.items()
            # One without an address sends nobody anywhere: Prometheus finds the pods by it.
            and one["spec"].get("clusterIP") != "None"
        )

    def _of_routes(self) -> Iterator[Problem]:
        parts = {one["metadata"]["name"]: self._part(one) for one in self._services}
        for route in self._api.list(*ROUTE):
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

    def network(self) -> Iterator[Problem]:
        """Declared ways between parts that are here, which policies close."""
        found = self._api.list(*POLICY)
        if not found:
            return
        space = {"kubernetes.io/metadata.name": self._api.namespace}
        with contextlib.suppress(Forbidden):
            space |= labels_of(namespaces.find(self._api))
        peers = self._parts.peers
        # By their labels, as policies see them: a part may have pods of more than one kind.
        pods = {
            peer: pod
            for pod in self._pods
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

    def gone(self) -> Iterator[Problem]:
        """Parts that were deployed, and that nothing runs any more."""
        there = {workload.part for workload in self._all}
        there |= {labels_of(one).get(COMPONENT, "") for one in self._resources}
        served, kept = llama_stack.serves(self._api), self._deployed.store.recall("server")
        for part in self._deployed.locations():
            if part in there:
                continue
            kind, state = "workload", "its Deployment was removed"
            hint = self._again(part)
            if part == llama_stack.NAME and kept and served and kept != served:
                kind = llama_stack.OPERATORS[kept].kind
                state = f"the cluster knows only {llama_stack.OPERATORS[served].kind}: the "
                state += "operator was replaced, and the new one does not use the old kind"
                hint += ', with SERVER = "auto"; then 08_secure_the_network'
            yield Problem(part, f"{part} was deployed, and its {kind} is gone.", state, hint)

    def no_room(self) -> Iterator[Problem]:
        """A pod that waits for a GPU beside a node that offers one, and is tainted against it."""
        waiting = [
            (workload.part, pod)
            for workload in self._all
            for pod in workload.seen.pods
            if not pod["spec"].get("nodeName") and nodes.wanted(pod)
        ]
        offering = [o for o in self._api.list(*nodes.NODE) if nodes.gpus(o)] if waiting else []
        for part, pod in waiting:
            for node in offering:
                if taints := nodes.untolerated(node, pod):
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

    def _problem(self, part: str, found: Blocker, because: tuple[str, ...] | None) -> Problem:
        state, served = found.state, [o for o in self._resources if o["kind"] == "InferenceService"]
        if because != (GPU_NODES,) and any(self._part(o) == part and is_ready(o) for o in served):
            state += "; its InferenceService says Ready all the same"
        lines = rollout.tail(self._api, found.pod, found.container, previous=found.previous)
        log = tuple(mask(line, self._hidden) for line in lines)
        return Problem(part, f"{part} {found.what}.", state, found.hint, log, because)

    def _part(self, thing: Object) -> str:
        """The part that an object is of: by the kit's label, or by what operators' pods carry."""
        names, named = self._parts.on("cluster"), labels_of(thing).get(objects.COMPONENT, "")
        if named in names:
            return named
        spec = thing.get("spec") or {}
        carried: Object = labels_of(spec.get("template")) or spec.get("selector") or {}
        known = policies.part_of(carried.get("matchLabels", carried), self._parts.peers)
        return known if known in names else ""

    def _again(self, part: str) -> str:
        return f"run {self._parts.notebook(part)} again"

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


def _restarts(pods: Iterable[Object]) -> Blocker | None:
    """A container that runs at this moment, and ended again and again until a moment ago."""
    for pod in pods:
        for one in (pod.get("status") or {}).get("containerStatuses") or []:
            last = (one.get("lastState") or {}).get("terminated") or {}
            often = one.get("restartCount", 0) >= RESTARTS and last.get("exitCode")
            ended = last.get("finishedAt")
            if often and ended and datetime.now(UTC) - datetime.fromisoformat(ended) < RECENT:
                return Blocker(
                    "ends again and again, though it runs now",
                    f"exit code {last['exitCode']}, started {one['restartCount'] + 1} times",
                    f"its log says why: kubectl logs {pod['metadata']['name']} --previous",
                    *(pod["metadata"]["name"], one["name"], True),
                )
    return None


def _said(labels: Object) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items())


def _inside(api: Api) -> list[str]:
    """The providers of the server's configuration that keep what they have in one pod."""
    found = api.get("v1", "ConfigMap", llama_stack.CONFIG)
    text = objects.content(found).get("config.yaml", "")
    stores = ((yaml.safe_load(text) or {}).get("providers") or {}).get("vector_io") or []
    kinds = [str(one.get("provider_type", "")) for one in stores]
    return [f"{kind} keeps its vectors in one pod" for kind in kinds if kind.startswith("inline::")]
