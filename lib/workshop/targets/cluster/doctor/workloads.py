"""What is wrong with the parts of a namespace, by their Deployments, pods, Services and Routes.

Found by labels, not by what a notebook kept: a part that never came up is looked at as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import yaml

from workshop.core.secret import Secret, mask
from workshop.targets.base import PATIENCE, Problem
from workshop.targets.cluster import objects, pod_status
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.endpoints import admitted
from workshop.targets.cluster.errors import Refused, Unreachable
from workshop.targets.cluster.manifests import ROUTE, llama_stack
from workshop.targets.cluster.network import policies, routes
from workshop.targets.cluster.pod_status import Seen, Trouble
from workshop.targets.spec import Parts

LOG = 12
"""Lines of a log that are read."""

RESOURCES = (
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("llamastack.io/v1alpha1", "LlamaStackDistribution"),
    ("ogx.io/v1beta1", "OGXServer"),
)
"""The custom resources that operators turn into parts."""

RESTARTS = 2
"""How often a container must have been started again, until it is told though it runs now."""

RECENT = timedelta(minutes=15)


@dataclass(frozen=True)
class Workload:
    """One Deployment or StatefulSet, whoever made it, and what belongs to it."""

    part: str
    thing: Object
    seen: Seen

    @property
    def replicas(self) -> int:
        """How many are wanted."""
        return int(self.thing["spec"].get("replicas", 1))


@dataclass
class Workloads:
    """The parts' objects, read once.

    Args:
        api: The cluster.
        hidden: Credentials, which no log that is shown may hold.
        parts: All that there are.
    """

    api: Api
    hidden: Sequence[Secret]
    parts: Parts
    pods: list[Object] = field(default_factory=list)
    all: list[Workload] = field(default_factory=list)
    resources: list[Object] = field(default_factory=list)
    services: list[Object] = field(default_factory=list)

    def read(self) -> Workloads:
        """Ask the cluster.

        Raises:
            Refused: This user may not.
            Unreachable: It does not answer.
        """
        api = self.api
        self.pods = api.list("v1", "Pod")
        sets, claims = api.list("apps/v1", "ReplicaSet"), api.list("v1", "PersistentVolumeClaim")
        events, leaving = api.list("v1", "Event"), pod_status.leaving(self.pods)
        for kind in ("Deployment", "StatefulSet"):
            for thing in api.list("apps/v1", kind):
                part = self._part(thing)
                if not part:
                    continue
                uid, labels = thing["metadata"]["uid"], thing["spec"]["selector"]["matchLabels"]
                owned = [one for one in sets if _is_owned(one, uid) and one["spec"].get("replicas")]
                pods = pod_status.current(self.pods, labels, "")
                seen = Seen(pods, owned, claims, events, leaving)
                self.all.append(Workload(part, thing, seen))
        self.services = [one for one in api.list("v1", "Service") if self._part(one)]
        for api_version, kind in RESOURCES:
            self.resources += api.list(api_version, kind, objects.OURS)
        return self

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong, a part's own pods first."""
        for workload in self.all:
            found = self._of_pods(workload)
            if found:
                yield found
        yield from self._of_jobs()
        yield from self._of_resources()
        yield from self._of_services()
        yield from of_replicas(self.api, self.all, self.services)
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
        ready = [pod for pod in workload.seen.pods if pod_status.is_ready(pod)]
        if len(ready) >= workload.replicas:
            return None
        newest = max(
            (pod for pod in workload.seen.pods if not pod_status.is_ready(pod)),
            key=lambda pod: str(pod["metadata"]["creationTimestamp"]),
            default=None,
        )
        name, container = ("", "")
        if newest is not None:
            name, container = newest["metadata"]["name"], newest["spec"]["containers"][0]["name"]
        waiting = Trouble(
            "is not ready",
            pod_status.describe(workload.seen),
            f"it may still be starting: ask again in a minute; else {self._again(workload.part)}",
            name,
            container,
        )
        return self._problem(workload.part, waiting, None)

    def _held_volume(self, workload: Workload) -> Trouble | None:
        """A volume that a pod of another node holds: a rollout that waits for itself."""
        for pod in workload.seen.pods:
            for event in pod_status.events_of(pod, workload.seen.events):
                said = " ".join(str(event.get("message", "")).split())
                if "Multi-Attach" in said and not pod_status.is_ready(pod):
                    return Trouble(
                        "waits for a volume that its other pod holds",
                        said,
                        'it is ReadWriteOnce: set the strategy of its Deployment to "Recreate", '
                        f"or kubectl delete the old pod; then {self._again(workload.part)}",
                    )
        return None

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
                    f"The operator has not made anything of the {kind} {name}.",
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
            if not any(selector.items() <= _labels(pod).items() for pod in self.pods):
                have = {key: _labels(mine[0]).get(key, "(none)") for key in selector}
                yield Problem(
                    part,
                    f"The Service {service['metadata']['name']} leads to no pod.",
                    f"it selects {_said(selector)}, and the part's pods have {_said(have)}",
                    f"another operator's generation has other labels: {self._again(part)}",
                )

    def _of_routes(self) -> Iterator[Problem]:
        parts = {one["metadata"]["name"]: self._part(one) for one in self.services}
        for route in self.api.list(*ROUTE):
            part, name = parts.get(route["spec"]["to"]["name"], ""), route["metadata"]["name"]
            if not part:
                continue
            refused = pod_status.refused_route(route)
            if refused:
                yield self._problem(part, refused, ())
            elif not admitted(route):
                yield Problem(
                    part,
                    f"No router has admitted the Route {name}.",
                    "its status is empty",
                    f"kubectl get ingresscontroller -A; kubectl describe route {name}",
                )
            elif (allowed := routes.seconds(route)) < PATIENCE:
                yield Problem(
                    part,
                    f"The Route {name} ends an answer after {allowed:g} s.",
                    "a longer answer ends in 504 Gateway Timeout",
                    f"kubectl annotate route {name} --overwrite {routes.HAPROXY}=300s; or "
                    f"{self._again(part)}",
                )

    def _problem(self, part: str, found: Trouble, because: tuple[str, ...] | None) -> Problem:
        state = found.state
        if because != ("gpu-nodes",) and self._is_called_ready(part):
            state += "; its InferenceService says Ready all the same"
        return Problem(part, f"{part} {found.what}.", state, found.hint, self._log(found), because)

    def _is_called_ready(self, part: str) -> bool:
        return any(
            one["type"] == "Ready" and one["status"] == "True"
            for resource in self.resources
            if resource["kind"] == "InferenceService" and self._part(resource) == part
            for one in (resource.get("status") or {}).get("conditions") or []
        )

    def _part(self, thing: Object) -> str:
        """The part that an object is of: by the kit's label, or by what operators' pods carry."""
        names = self.parts.on("cluster")
        named = str(_labels(thing).get(objects.COMPONENT, ""))
        if named in names:
            return named
        spec = thing.get("spec") or {}
        template = spec.get("template") or {}
        carried = (template.get("metadata") or {}).get("labels") or spec.get("selector") or {}
        if "matchLabels" in carried:
            carried = carried["matchLabels"]
        known = policies.part_of(carried, self.parts.peers)
        return known if known in names else ""

    def _again(self, part: str) -> str:
        return f"run {self.parts.notebook(part)} again"

    def _log(self, found: Trouble) -> tuple[str, ...]:
        if not found.pod:
            return ()
        try:
            lines = self.api.logs(found.pod, found.container, lines=LOG, previous=found.previous)
            return tuple(mask(line, self.hidden) for line in lines)
        except (Refused, Unreachable):
            # A container that never ran has none; the rest says enough without it.
            return ()


def _restarts(workload: Workload) -> Trouble | None:
    """A container that runs at this moment, and ended again and again before."""
    for pod in workload.seen.pods:
        for one in (pod.get("status") or {}).get("containerStatuses") or []:
            last = (one.get("lastState") or {}).get("terminated") or {}
            often = one.get("restartCount", 0) >= RESTARTS and last.get("exitCode")
            if often and _is_recent(str(last.get("finishedAt") or "")):
                return Trouble(
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


def _labels(thing: Object) -> Object:
    return thing["metadata"].get("labels") or {}


def _is_owned(thing: Object, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in thing["metadata"].get("ownerReferences") or [])


STACK, TOOLS = "llama-stack", "mcp-server"


def of_replicas(
    api: Api, workloads: Sequence[Workload], services: Sequence[Object]
) -> Iterator[Problem]:
    """Several pods of a part whose vectors, tables, volume or sessions are in each by itself."""
    for workload in workloads:
        if workload.replicas < 2 or workload.thing["kind"] == "StatefulSet":
            continue
        kept = [*_lonely(workload), *(_inside(api) if workload.part == STACK else [])]
        if kept:
            yield Problem(
                workload.part,
                f"{workload.part} has {workload.replicas} replicas, and can have one alone.",
                "; ".join(kept),
                f"kubectl scale deployment {workload.thing['metadata']['name']} --replicas=1; "
                "10_scale_out gives it storage that replicas share",
            )
        if workload.part == TOOLS and not _is_sticky(workload, services):
            yield Problem(
                TOOLS,
                f"mcp-server has {workload.replicas} replicas, and its Service sends a client now "
                "to one, now to another.",
                "a session is in one pod's memory, and another answers: session not found; the "
                "Service has no sessionAffinity ClientIP",
                "run 05_deploy_mcp_server again: its Service keeps a client with a pod; or one "
                "replica",
            )


def _inside(api: Api) -> list[str]:
    """The providers of the server's configuration that keep what they have in one pod."""
    found = api.get("v1", "ConfigMap", llama_stack.CONFIG)
    text = ((found or {}).get("data") or {}).get("config.yaml", "")
    stores = ((yaml.safe_load(text) or {}).get("providers") or {}).get("vector_io") or []
    kinds = [str(one.get("provider_type", "")) for one in stores]
    return [f"{kind} keeps its vectors in one pod" for kind in kinds if kind.startswith("inline::")]


def _lonely(workload: Workload) -> list[str]:
    """Its volumes that one node alone may mount."""
    volumes = workload.thing["spec"]["template"]["spec"].get("volumes") or []
    names = {
        v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v
    }
    return [
        f"the volume {claim['metadata']['name']} is ReadWriteOnce"
        for claim in workload.seen.claims
        if claim["metadata"]["name"] in names
        and set(claim["spec"].get("accessModes") or []) <= {"ReadWriteOnce", "ReadWriteOncePod"}
    ]


def _is_sticky(workload: Workload, services: Sequence[Object]) -> bool:
    labels = workload.thing["spec"]["template"]["metadata"]["labels"]
    return all(
        one["spec"].get("sessionAffinity") == "ClientIP"
        for one in services
        if one["spec"].get("selector")
        and one["spec"]["selector"].items() <= labels.items()
        # One without an address sends nobody anywhere: Prometheus finds the pods by it.
        and one["spec"].get("clusterIP") != "None"
    )
