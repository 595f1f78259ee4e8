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

GONE = 180.0  # Seconds for what was deleted to be gone: a pod may take half a minute to end.
VOLUMES = ("v1", "PersistentVolumeClaim")
PODS = ("v1", "Pod")
NETWORK = "network"  # The component of policies and of the pods that try them: no part.


class Cleaning:
    """Works in the namespace of ``api``."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def prune(self, part: str, wanted: Iterable[Object]) -> list[str]:
        """Remove a part's objects that are not wanted any more; gives what was removed."""
        keep = {objects.key(thing) for thing in wanted}
        return self._delete(one for one in self._of_part(part) if objects.key(one) not in keep)

    def outdated_jobs(self, plan: Plan) -> None:
        """Remove jobs of other settings, and failed ones: a job's pods cannot be changed."""
        outdated = []
        for job in filter(None, (self._api.get("batch/v1", "Job", name) for name in plan.jobs)):
            failed = any(one["type"] == "Failed" for one in objects.conditions(job))
            if failed or not pod_status.carries(job["spec"]["template"], plan.digest):
                outdated.append(job)
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
        self.probes(stage)
        removed: list[str] = []
        stopped: list[Object] = []
        for part in (*parts, NETWORK):
            found = self._of_part(part)
            removed += self._delete(found)
            stopped += found
        self._await_gone(stopped, stage)
        if not data:
            facts = self._api.get("v1", "ConfigMap", MANAGER)
            return removed + self._delete([facts] if facts else [])
        # Last: without the passwords, what is left in a volume could not be read any more.
        for rest in (self._found([VOLUMES, *PRUNED], OURS), self._own_namespace()):
            removed += self._delete(rest)
            self._await_gone(rest, stage)
        return removed

    def left(self) -> list[str]:
        """What still carries the kit's label; volumes and the kit's Secret hold data."""
        if not namespaces.is_visible(self._api):
            return []
        found = self._found([*PRUNED, PODS], OURS) + self._probe_namespaces()
        shared = ("Secret", MANAGER)
        return [_name(one) for one in found if objects.key(one) != shared]

    def probes(self, stage: Stages | None = None) -> None:
        """Remove the pods that try the network, and, in the background, their namespaces."""
        pods = self._found([PODS], f"{OURS},{PROBE}")
        self._delete([*pods, *self._probe_namespaces()])
        self._await_gone(pods, stage)

    def _probe_namespaces(self) -> list[Object]:
        """Those that are not being removed yet."""
        selector = f"{OURS},{PROBE}={self._api.namespace}"
        try:
            made = self._api.list(*namespaces.NAMESPACE, selector)
        except Forbidden:
            # Who may not see namespaces has made none.
            return []
        return [one for one in made if not namespaces.is_terminating(one)]

    def _own_namespace(self) -> list[Object]:
        """The namespace, if the kit made it: it goes with all that is in it."""
        try:
            found = namespaces.find(self._api)
        except Forbidden:
            return []
        made = objects.labels_of(found).get(objects.MANAGED_BY) == MANAGER
        return [found] if found and made else []

    def _of_part(self, part: str) -> list[Object]:
        """A part's objects but its volumes."""
        return self._found(PRUNED, _selector(part))

    def _found(self, kinds: Iterable[tuple[str, str]], selector: str) -> list[Object]:
        found = [one for kind in kinds for one in self._api.list(*kind, selector)]
        return [one for one in found if not objects.is_owned(one) or one["kind"] == "Pod"]

    def _delete(self, things: Iterable[Object]) -> list[str]:
        return [_name(one) for one in things if self._api.delete(one)]

    def _await_gone(
        self, things: Sequence[Object], stage: Stages | None = None, *, with_pods: bool = True
    ) -> None:
        """Wait until they are gone, and the pods of the parts that they were."""
        parts = {objects.labels_of(one).get(objects.COMPONENT) for one in things if with_pods}

        def gone() -> object:
            there = [one for one in things if self._api.get(one["apiVersion"], *objects.key(one))]
            for part in filter(None, parts):
                there += self._api.list(*PODS, _selector(part))
            return NotYet("still there: " + ", ".join(map(_name, there))) if there else True

        if things:
            wait_for(
                "what was removed to be gone",
                gone,
                timeout=GONE,
                stage=stage,
                every=0.5,
                where=self._api.where,
                hint="kubectl get all; a finalizer whose operator is gone may keep an object",
            )


def _name(thing: Object) -> str:
    return " ".join(objects.key(thing))


def _selector(part: str) -> str:
    """The label selector of what the kit made for a part."""
    return f"{OURS},{objects.COMPONENT}={part}"
