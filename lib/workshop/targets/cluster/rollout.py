"""A part's objects: applied, and whether they are up as was asked, by the namespace's watches."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from workshop.core.errors import PartFailed, WorkshopError
from workshop.core.progress import Stages
from workshop.core.wait import NotYet
from workshop.targets.cluster import delete, objects, pod_status, scaling
from workshop.targets.cluster.api import Api, Object, at_once
from workshop.targets.cluster.endpoints import admitted
from workshop.targets.cluster.errors import Refused, Unreachable
from workshop.targets.cluster.informer import Informer, patient
from workshop.targets.cluster.manifests import ROUTE, Plan
from workshop.targets.cluster.pod_status import Blocker, Seen

LOG = 12  # Lines of a log in an error.
LASTS = 10.0  # Seconds for which a refusal may last before it counts as a failure.
EVERY = 3.0  # Seconds between two tries: an API server learns of a right or a quota by a watch.
TRIED_AGAIN = "agent-workshop-kit/tried-again"  # A change of it makes a controller try again.


def apply(
    api: Api, part: str, plan: Plan, stage: Stages, *, was_up: bool
) -> Literal["created", "reused", "changed", "restarted"]:
    """Apply what a part is made of, without what is not wanted any more; gives what that is for it.

    ``was_up``: whether it was ready once. Else it was started ahead, or somebody interrupted it.
    """
    before = api.get("apps/v1", plan.workload, plan.deployment)
    was = before and pod_status.carries(before["spec"]["template"], plan.digest)
    if not was:
        stage(f"applying {len(plan.objects)} objects in {api.namespace}")
    delete.outdated_jobs(api, plan)
    first = [thing for thing in plan.objects if thing["kind"] in objects.FIRST]
    rest = [thing for thing in plan.objects if thing["kind"] not in objects.FIRST]
    for wave in (first, rest):
        at_once(api.apply, wave)
    _try_again(api, plan, before)
    if not was:
        for removed in delete.prune(api, part, plan.objects):
            stage(f"removed {removed}, which this part does not need any more")
        return "changed" if before else "created"
    if before and (before.get("status") or {}).get("availableReplicas", 0):
        return "reused"
    return "restarted" if was_up else "created"


def _try_again(api: Api, plan: Plan, workload: Object | None) -> None:
    """Have what was refused tried again now.

    Controllers wait up to 1000 seconds between two tries, and applying what is there already tells
    them nothing. An annotation does: of a Deployment it reaches the ReplicaSet, too.
    """
    wanted, refused = plan.resource, []
    if workload and objects.condition(workload, "ReplicaFailure"):
        refused.append(workload)
    resource = wanted and api.get(*wanted)
    # KServe hands annotations on to its pods: a model that runs would start again.
    keeps = workload and wanted and wanted.kind == "InferenceService"
    if resource and pod_status.given_up(resource) and not keeps:
        refused.append(resource)
    for one in refused:
        now = {TRIED_AGAIN: datetime.now(UTC).isoformat()}
        api.merge(one, {"metadata": {"annotations": now}})


@dataclass
class Rollout:
    """One part's way up: what was applied, held against what is in the namespace now."""

    api: Api
    informer: Informer
    name: str
    plan: Plan
    _refusal: str = ""  # What is refused now.
    _since: float = 0.0  # Since when, and when it was last tried again, by the monotonic clock.
    _tried: float = 0.0

    def up(self, probe: Callable[[], object]) -> object:
        """A part's own probe, asked while its pods run.

        A probe that fails for good does so as its pods' problem, if they have one: a connection
        that is refused says less than a container that was ended for its memory.
        """
        state = self.state()
        if isinstance(state, NotYet):
            return state
        try:
            return probe()
        except WorkshopError:
            self.state()
            raise

    def state(self) -> object:
        """True when all pods run as they were asked for; ``NotYet`` with what they do until then.

        Raises ``PartFailed``, with the end of a log, where waiting is useless.
        """
        found = patient(self._state)
        if not isinstance(found, Blocker):
            self._refusal = ""
            return found
        if found.passing and self._may_end(found.what):
            return NotYet(found.state)
        log = tail(self.api, found.pod, found.container, previous=found.previous)
        what = f"{self.name} {found.what}."
        raise PartFailed(what, where=self.api.where, state=found.state, log=log, hint=found.hint)

    def _may_end(self, refusal: str) -> bool:
        """Whether it is so new that it may end by itself; meanwhile it is tried again."""
        now = time.monotonic()
        if refusal != self._refusal:
            self._refusal, self._since, self._tried = refusal, now, now
        if now - self._tried >= EVERY:
            self._tried = now
            kind, name = self.plan.workload, self.plan.deployment
            _try_again(self.api, self.plan, self.api.get("apps/v1", kind, name))
        return now - self._since < LASTS

    def pods(self) -> list[Object]:
        """The pods that are ready now, whichever settings they have."""
        return pod_status.ready(self.informer.all("v1", "Pod"), self.plan.pods)

    def log(self) -> list[str]:
        """The last lines of its newest pod."""
        pods = pod_status.by_age(self._current())
        return tail(self.api, *pods[-1]) if pods else []

    def _state(self) -> object:
        """True, ``NotYet``, or the ``Blocker`` that waiting does not fix."""
        resource = self._resource()
        if resource and (refused := pod_status.given_up(resource)):
            return refused
        workload = self._workload()
        if workload is None:
            nothing = "its Deployment is not there yet"
            return NotYet(pod_status.awaited(resource) if resource else nothing)
        seen = self._seen(workload)
        jobs = {name: self.informer.named("batch/v1", "Job", name) for name in self.plan.jobs}
        failed = map(pod_status.failed_job, filter(None, jobs.values()))
        if found := pod_status.find(seen) or next(filter(None, failed), None):
            return found
        if not _is_rolled_out(workload):
            return NotYet(pod_status.describe(seen))
        for name, job in jobs.items():
            ours = job and pod_status.carries(job["spec"]["template"], self.plan.digest)
            if not job or not ours or not (job.get("status") or {}).get("succeeded"):
                return NotYet(f"the job {name} is not done yet")
        return self._routed()

    def _routed(self) -> object:
        """Whether the router serves the part's Route."""
        name = self.plan.route
        route = self.informer.named(*ROUTE, name) if name else None
        if not name or admitted(route):
            return True
        refused = pod_status.refused_route(route) if route else None
        return refused or NotYet(f"no router has admitted the Route {name} yet")

    def _workload(self) -> Object | None:
        """What runs it, once it is as it was asked for."""
        found = self.informer.named("apps/v1", self.plan.workload, self.plan.deployment)
        ours = found and pod_status.carries(found["spec"]["template"], self.plan.digest)
        return found if found and ours and scaling.fits(found, self.plan.scale) else None

    def _current(self) -> list[Object]:
        pods = self.informer.all("v1", "Pod")
        return pod_status.current(pods, self.plan.pods, self.plan.digest)

    def _seen(self, workload: Object) -> Seen:
        sets = [
            one
            for one in self.informer.all("apps/v1", "ReplicaSet")
            if objects.is_owned(one, workload["metadata"]["uid"])
            and pod_status.carries(one["spec"]["template"], self.plan.digest)
        ]
        return Seen(
            self._current(),
            sets,
            self.informer.all("v1", "PersistentVolumeClaim"),
            self.informer.all("v1", "Event"),
            pod_status.leaving(self.informer.all("v1", "Pod")),
        )

    def _resource(self) -> Object | None:
        """The custom resource that an operator makes the part of."""
        wanted = self.plan.resource
        return self.informer.named(*wanted) if wanted else None


def _is_rolled_out(workload: Object) -> bool:
    status, wanted = workload.get("status") or {}, workload["spec"].get("replicas", 1)
    counted = ("updatedReplicas", "replicas", "availableReplicas")
    return bool(
        status.get("observedGeneration", 0) >= workload["metadata"]["generation"]
        and all(status.get(name, 0) == wanted for name in counted)
    )


def tail(api: Api, pod: str, container: str, *, previous: bool = False) -> list[str]:
    """The last lines of a container's log; none without a pod, or where there is no log."""
    try:
        return list(api.logs(pod, container, lines=LOG, previous=previous)) if pod else []
    except (Refused, Unreachable):
        # A container that never ran has none; the error says enough without it.
        return []
