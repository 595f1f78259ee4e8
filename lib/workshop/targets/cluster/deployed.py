"""What is known of the parts that were deployed: the way to each, and what its pods do now."""

from __future__ import annotations

from workshop.core.errors import StepMissing
from workshop.targets.base import PartStatus
from workshop.targets.cluster import manifests, pod_status
from workshop.targets.cluster.api import MANAGER, Api, Object
from workshop.targets.cluster.endpoints import Way
from workshop.targets.cluster.informer import Watching
from workshop.targets.cluster.rollout import Rollout
from workshop.targets.cluster.store import Store, fact, read
from workshop.targets.spec import Parts


class Known:
    """Reads what notebooks keep for each other, and the namespace as it is now.

    Args:
        api: The cluster.
        watching: What is in the namespace now.
        store: What notebooks keep.
        parts: All that there are.
    """

    def __init__(self, api: Api, watching: Watching, store: Store, parts: Parts) -> None:
        self.parts = parts
        self.names = parts.on("cluster")
        self.reach = store.reach
        self._api = api
        self._watching = watching
        self._store = store

    def facts(self) -> Object | None:
        """The ConfigMap with what notebooks keep."""
        kept = self._watching.all("v1", "ConfigMap", f"metadata.name={MANAGER}")
        return self._store.newer(kept[0] if kept else None)

    def ways(self) -> dict[str, Way]:
        """The ways to the parts that were deployed, those of others' left out."""
        facts = self.facts()
        return {n: Way.read(kept) for n in self.names if (kept := read(facts, fact(n)))}

    def running(self, name: str) -> Way:
        """The way to a part that runs.

        Raises:
            StepMissing: It was not deployed, or it ended since.
        """
        kept = read(self.facts(), fact(name))
        if kept is None:
            raise StepMissing(
                f"{name} was not deployed yet.",
                where=self._api.where,
                hint=f"run {self.parts.notebook(name)} first",
            )
        way = Way.read(kept)
        if not self.ready_pods(way):
            raise StepMissing(
                f"{name} does not run any more.",
                where=self._api.where,
                state=self.describe(way),
                hint=f"run {self.parts.notebook(name)} again: it starts what has ended",
            )
        return way

    def status(self, name: str, way: Way) -> PartStatus:
        """One part, as it is now."""
        state = "running" if self.ready_pods(way) else "not ready"
        url = f"{way.scheme}://{way.service}.{self._api.namespace}.svc:{way.port}"
        return PartStatus(name, state, url, self.describe(way))

    def ready_pods(self, way: Way) -> list[Object]:
        """The part's pods that are ready."""
        plan = manifests.Plan([], "", way.deployment, way.pods, way.service, way.port)
        return Rollout(self._api, self._watching, way.service, plan).pods()

    def containers(self, name: str) -> list[tuple[str, str]]:
        """The part's pods, oldest first, each with its first container: by name.

        Raises:
            StepMissing: There is no pod.
        """
        kept = read(self.facts(), fact(name))
        found = self._watching.all("v1", "Pod") if kept else []
        pods = pod_status.current(found, Way.read(kept).pods, "") if kept else []
        if not pods:
            hint = f"run {self.parts.notebook(name)}"
            raise StepMissing(f"{name} has no pod.", where=self._api.where, hint=hint)
        pods.sort(key=lambda one: str(one["metadata"]["creationTimestamp"]))
        return [(one["metadata"]["name"], one["spec"]["containers"][0]["name"]) for one in pods]

    def describe(self, way: Way) -> str:
        """What its pods do at the moment."""
        pods = pod_status.current(self._watching.all("v1", "Pod"), way.pods, "")
        events = self._watching.all("v1", "Event")
        return pod_status.describe(pod_status.Seen(pods, (), (), events))
