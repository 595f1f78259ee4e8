"""Removing what the kit made: by its labels, and nothing that another object made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workshop.core.progress import Stages
from workshop.core.wait import NotYet, wait_for
from workshop.targets.cluster import namespaces, objects, pod_status
from workshop.targets.cluster.api import MANAGER, Api, Object
from workshop.targets.cluster.errors import Forbidden
from workshop.targets.cluster.manifests import Plan
from workshop.targets.cluster.objects import OURS, PRUNED
from workshop.targets.cluster.pod_status import PROBE

GONE = 180.0
"""Seconds for what was deleted to be gone: a pod may take half a minute to end."""

VOLUMES = ("v1", "PersistentVolumeClaim")
NAMESPACES = ("v1", "Namespace")
PODS = ("v1", "Pod")
NETWORK = "network"
"""The component of policies, and of the pods that try them: no part, and last to go."""


class Cleaning:
    """Works in the namespace of ``api``."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def prune(self, part: str, wanted: Iterable[Object]) -> list[str]:
        """Remove a part's objects that are not wanted any more; gives what was removed."""
        keep = {objects.key(thing) for thing in wanted}
        extra = [thing for thing in self._of_part(part) if objects.key(thing) not in keep]
        return self._delete(extra)

    def outdated_jobs(self, plan: Plan) -> None:
        """Remove jobs of other settings, and failed ones: a job's pods cannot be changed."""
        outdated = []
        for name in plan.jobs:
            job = self._api.get("batch/v1", "Job", name)
            if job is None:
                continue
            status = job.get("status") or {}
            failed = any(one["type"] == "Failed" for one in status.get("conditions") or [])
            if failed or not pod_status.carries(job["spec"]["template"], plan.digest):
                outdated.append({"apiVersion": "batch/v1", "kind": "Job"} | job)
        self._delete(outdated)
        # The part's other pods go on.
        self._await_gone(outdated, with_pods=False)

    def remove(self, part: str) -> list[str]:
        """Remove a part's objects but its volumes, and wait until its pods are gone."""
        found = self._of_part(part)
        removed = self._delete(found)
        self._await_gone(found)
        return removed

    def everything(
        self, parts: Sequence[str], *, data: bool, stage: Stages | None = None
    ) -> list[str]:
        """Remove all parts, in this order, and what they share; with ``data`` the volumes too."""
        if not namespaces.is_visible(self._api):
            return []
        removed: list[str] = []
        stopped: list[Object] = []
        self.probes(stage)
        for part in (*parts, NETWORK):
            found = self._of_part(part)
            removed += self._delete(found)
            stopped += found
        self._await_gone(stopped, stage)
        if data:
            # Last: without the passwords, what is left in a volume could not be read any more.
            volumes = self._found([VOLUMES], OURS)
            shared = self._found(PRUNED, OURS)
            removed += self._delete([*volumes, *shared])
            self._await_gone([*volumes, *shared], stage)
            removed += self._own_namespace(stage)
        else:
            removed += self._forget_facts()
        return removed

    def left(self) -> list[str]:
        """What still carries the kit's label; volumes and the kit's Secret hold data."""
        if not namespaces.is_visible(self._api):
            return []
        found = self._found([*PRUNED, PODS], OURS)
        found += self._probe_namespaces()
        shared = ("Secret", MANAGER)
        return [f"{t['kind']} {t['metadata']['name']}" for t in found if objects.key(t) != shared]

    def probes(self, stage: Stages | None = None) -> None:
        """Remove the pods that try the network, and the namespaces that were made for some.

        The pods are gone then; a namespace goes in the background.
        """
        pods = self._found([PODS], f"{OURS},{PROBE}")
        self._delete([*pods, *self._probe_namespaces()])
        self._await_gone(pods, stage)

    def _probe_namespaces(self) -> list[Object]:
        """Those that are not being removed yet."""
        try:
            made = self._api.list(*NAMESPACES, f"{OURS},{PROBE}={self._api.namespace}")
        except Forbidden:
            # Who may not see namespaces has made none.
            return []
        return [one for one in made if not namespaces.is_terminating(one)]

    def _forget_facts(self) -> list[str]:
        kept = self._api.get("v1", "ConfigMap", MANAGER)
        return self._delete([{"apiVersion": "v1", "kind": "ConfigMap"} | kept] if kept else [])

    def _own_namespace(self, stage: Stages | None) -> list[str]:
        """Remove the namespace if the kit made it: it goes with all that is in it."""
        try:
            namespace = self._api.get("v1", "Namespace", self._api.namespace)
        except Forbidden:
            return []
        labels = (namespace or {}).get("metadata", {}).get("labels") or {}
        if namespace is None or labels.get(objects.MANAGED_BY) != MANAGER:
            return []
        whole = {"apiVersion": "v1", "kind": "Namespace"} | namespace
        removed = self._delete([whole])
        self._await_gone([whole], stage)
        return removed

    def _of_part(self, part: str) -> list[Object]:
        """A part's objects but its volumes."""
        return self._found(PRUNED, _selector(part))

    def _found(self, kinds: Iterable[tuple[str, str]], selector: str) -> list[Object]:
        found = []
        for api_version, kind in kinds:
            found += self._api.list(api_version, kind, selector)
        return [thing for thing in found if not objects.is_owned(thing) or thing["kind"] == "Pod"]

    def _delete(self, things: Iterable[Object]) -> list[str]:
        return [
            f"{thing['kind']} {thing['metadata']['name']}"
            for thing in things
            if self._api.delete(thing)
        ]

    def _await_gone(
        self, things: Sequence[Object], stage: Stages | None = None, *, with_pods: bool = True
    ) -> None:
        """Wait until they are gone, and the pods of the parts that they were."""
        parts = {(t["metadata"].get("labels") or {}).get(objects.COMPONENT) for t in things}
        parts = parts if with_pods else set()

        def gone() -> object:
            left = [
                f"{t['kind']} {t['metadata']['name']}"
                for t in things
                if self._api.get(t["apiVersion"], t["kind"], t["metadata"]["name"]) is not None
            ]
            for part in filter(None, parts):
                pods = self._api.list(*PODS, _selector(part))
                left += [f"Pod {pod['metadata']['name']}" for pod in pods]
            return NotYet("still there: " + ", ".join(left)) if left else True

        if things:
            wait_for(
                "what was removed to be gone",
                gone,
                timeout=GONE,
                stage=stage,
                every=0.5,
                where=self._api.where,
                hint="kubectl get all; a finalizer whose operator is away holds an object",
            )


def _selector(part: str) -> str:
    """The label selector of what the kit made for a part."""
    return f"{OURS},{objects.COMPONENT}={part}"
