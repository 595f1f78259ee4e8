"""Whether a part is up as it was asked for, by what the namespace's watches say."""

from __future__ import annotations

from collections.abc import Callable

from workshop.core.errors import PartFailed, WorkshopError
from workshop.core.wait import NotYet
from workshop.targets.cluster import pod_status, scaling
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.endpoints import admitted
from workshop.targets.cluster.errors import Refused, Unreachable
from workshop.targets.cluster.informer import Watching
from workshop.targets.cluster.manifests import ROUTE, Plan
from workshop.targets.cluster.pod_status import Seen, Trouble

LOG = 12
"""Lines of a log in an error."""


class Rollout:
    """One part's way up.

    Args:
        api: The cluster.
        watching: What is in the namespace now.
        name: The part's name, for errors.
        plan: What was applied.
    """

    def __init__(self, api: Api, watching: Watching, name: str, plan: Plan) -> None:
        self._api = api
        self._watching = watching
        self._name = name
        self._plan = plan

    def state(self) -> object:
        """True when all pods run as they were asked for; ``NotYet`` with what they do until then.

        Raises:
            PartFailed: Waiting is useless; with the reason, and the log's end if it says more.
        """
        try:
            return self._state()
        except Unreachable as error:
            return NotYet(f"{error.what} {error.state}")

    def pods(self) -> list[Object]:
        """The pods that are ready now, whichever settings they have."""
        found = pod_status.current(self._watching.all("v1", "Pod"), self._plan.pods, "")
        return [pod for pod in found if pod_status.is_ready(pod)]

    def log(self) -> list[str]:
        """The last lines of its newest pod."""
        pods = self._current()
        if not pods:
            return []
        newest = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
        return self._tail(newest["metadata"]["name"], newest["spec"]["containers"][0]["name"])

    def _state(self) -> object:
        refused = self._refused_by_operator()
        if refused is not None:
            raise self._failed(refused)
        deployment = self._deployment()
        if deployment is None:
            return NotYet(self._awaited_operator())
        seen = self._seen(deployment)
        found = pod_status.find(seen) or self._job_trouble()
        if found is not None:
            raise self._failed(found)
        if not self._is_rolled_out(deployment):
            return NotYet(pod_status.describe(seen))
        for job in self._plan.jobs:
            if not self._has_succeeded(job):
                return NotYet(f"the job {job} is not done yet")
        return self._routed()

    def _routed(self) -> object:
        """Whether the router serves the part's Route."""
        name = self._plan.route
        if not name:
            return True
        for route in self._watching.all(*ROUTE):
            if route["metadata"]["name"] != name:
                continue
            if admitted(route):
                return True
            refused = pod_status.refused_route(route)
            if refused is not None:
                raise self._failed(refused)
        return NotYet(f"no router has admitted the Route {name} yet")

    def _deployment(self) -> Object | None:
        kind = "StatefulSet" if self._plan.members else "Deployment"
        for deployment in self._watching.all("apps/v1", kind):
            template = deployment["spec"]["template"]
            named = deployment["metadata"]["name"] == self._plan.deployment
            ours = named and pod_status.carries(template, self._plan.digest)
            if ours and scaling.fits(deployment, self._plan.scale):
                return deployment
        return None

    def _is_rolled_out(self, deployment: Object) -> bool:
        status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
        return bool(
            status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
            and status.get("updatedReplicas", 0) == wanted
            and status.get("replicas", 0) == wanted
            and status.get("availableReplicas", 0) == wanted
        )

    def _current(self) -> list[Object]:
        return pod_status.current(
            self._watching.all("v1", "Pod"), self._plan.pods, self._plan.digest
        )

    def _seen(self, deployment: Object) -> Seen:
        uid = deployment["metadata"]["uid"]
        sets = [
            one
            for one in self._watching.all("apps/v1", "ReplicaSet")
            if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences") or [])
            and pod_status.carries(one["spec"]["template"], self._plan.digest)
        ]
        return Seen(
            self._current(),
            sets,
            self._watching.all("v1", "PersistentVolumeClaim"),
            self._watching.all("v1", "Event"),
            pod_status.leaving(self._watching.all("v1", "Pod")),
        )

    def _refused_by_operator(self) -> Trouble | None:
        """What the operator says when it gave up on the custom resource."""
        resource = self._resource()
        return None if resource is None else pod_status.given_up(resource)

    def _resource(self) -> Object | None:
        wanted = self._plan.resource
        if wanted is None:
            return None
        for one in self._watching.all(wanted.api_version, wanted.kind):
            if one["metadata"]["name"] == wanted.name:
                return {"kind": wanted.kind, **one}
        return None

    def _awaited_operator(self) -> str:
        resource = self._resource()
        if resource is None:
            return "its Deployment is not there yet"
        return pod_status.awaited(resource)

    def _job_trouble(self) -> Trouble | None:
        for job in self._watching.all("batch/v1", "Job"):
            if job["metadata"]["name"] not in self._plan.jobs:
                continue
            failed = pod_status.failed_job(job)
            if failed is not None:
                return failed
        return None

    def _has_succeeded(self, name: str) -> bool:
        for job in self._watching.all("batch/v1", "Job"):
            ours = pod_status.carries(job["spec"]["template"], self._plan.digest)
            if job["metadata"]["name"] == name and ours:
                return bool((job.get("status") or {}).get("succeeded"))
        return False

    def _failed(self, found: Trouble) -> PartFailed:
        log = self._tail(found.pod, found.container, found.previous) if found.pod else []
        return PartFailed(
            f"{self._name} {found.what}.",
            where=self._api.where,
            state=found.state,
            log=log,
            hint=found.hint,
        )

    def _tail(self, pod: str, container: str, previous: bool = False) -> list[str]:
        try:
            return list(self._api.logs(pod, container, lines=LOG, previous=previous))
        except (Refused, Unreachable):
            # A container that never ran has none; the error says enough without it.
            return []


def guarded(probe: Callable[[], object], rollout: Rollout) -> object:
    """A part's own probe, asked while its pods run.

    A probe that fails for good does so as its pods' trouble, if they have one: a connection that is
    refused says less than a container that was ended for its memory.
    """
    state = rollout.state()
    if isinstance(state, NotYet):
        return state
    try:
        return probe()
    except WorkshopError:
        rollout.state()
        raise
