"""What is known of the parts: those that were deployed, and those that somebody else runs."""

from __future__ import annotations

from collections.abc import Iterator

from workshop.core.errors import StepMissing, WorkshopError
from workshop.targets.base import Endpoint, PartStatus
from workshop.targets.cluster import pod_status
from workshop.targets.cluster.api import MANAGER, Api, Object
from workshop.targets.cluster.endpoints import Location
from workshop.targets.cluster.informer import Informer
from workshop.targets.cluster.store import Store, fact, read
from workshop.targets.spec import Parts


class DeployedParts:
    """Reads what notebooks keep for each other, and the namespace as it is now.

    ``parts`` are all that there are; ``names``, those that run on a cluster.
    """

    def __init__(self, api: Api, informer: Informer, store: Store, parts: Parts) -> None:
        self.parts = parts
        self.names = parts.on("cluster")
        self._api = api
        self._informer = informer
        self.store = store

    def facts(self) -> Object | None:
        """The ConfigMap with what notebooks keep."""
        kept = self._informer.all("v1", "ConfigMap", f"metadata.name={MANAGER}")
        return self.store.newer(kept[0] if kept else None)

    def locations(self) -> dict[str, Location]:
        """Where the parts are that were deployed, those of others left out."""
        facts = self.facts()
        return {n: Location.read(kept) for n in self.names if (kept := read(facts, fact(n)))}

    def running(self, name: str) -> Location:
        """Where a part is that runs; ``StepMissing``, where it was not deployed, or has ended."""
        location = self.locations().get(name)
        if location is None:
            raise StepMissing(
                f"{name} was not deployed yet.",
                where=self._api.where,
                hint=f"run {self.parts.notebook(name)} first",
            )
        if not self.ready_pods(location):
            raise StepMissing(
                f"{name} does not run any more.",
                where=self._api.where,
                state=self._describe(location),
                hint=f"run {self.parts.notebook(name)} again: it starts what has ended",
            )
        return location

    def status(self, name: str, location: Location) -> PartStatus:
        """One part, as it is now."""
        state = "running" if self.ready_pods(location) else "not ready"
        place = f"{location.service}.{self._api.namespace}.svc:{location.port}"
        return PartStatus(name, state, f"{location.scheme}://{place}", self._describe(location))

    def ready_pods(self, location: Location) -> list[Object]:
        """The part's pods that are ready."""
        return pod_status.ready(self._informer.all("v1", "Pod"), location.pods)

    def follow(self, name: str, *, lines: int) -> Iterator[str]:
        """The log of the newest pod, on and on."""
        pod, container = self._logged(name)[-1]
        yield from self._api.logs(pod, container, lines=lines, follow=True)

    def newest(self, name: str, *, lines: int) -> list[str]:
        """The newest lines of all pods together, oldest first: replicas share the part's work."""
        pods = self._logged(name)
        if len(pods) == 1:
            return list(self._api.logs(*pods[0], lines=lines))
        found: list[tuple[str, str, str]] = []
        failed: WorkshopError | None = None
        for pod, container in pods:
            try:
                read_now = list(self._api.logs(pod, container, lines=lines, times=True))
                found += [line.partition(" ") for line in read_now]
            except WorkshopError as error:
                # One that does not run yet has none; the others' is worth seeing.
                failed = error
        if failed and not found:
            raise failed
        # Stable: lines of one pod and one moment keep their order.
        return [text for _, _, text in sorted(found, key=lambda one: one[0])][-lines:]

    def _logged(self, name: str) -> list[tuple[str, str]]:
        """The pods of a part, the newest last, each with its first container."""
        location = self.locations().get(name)
        pods = self._informer.all("v1", "Pod") if location else []
        found = pod_status.current(pods, location.pods, "") if location else []
        if not found:
            hint = f"run {self.parts.notebook(name)}"
            raise StepMissing(f"{name} has no pod.", where=self._api.where, hint=hint)
        return pod_status.by_age(found)

    def _describe(self, location: Location) -> str:
        """What its pods do at the moment."""
        pods = pod_status.current(self._informer.all("v1", "Pod"), location.pods, "")
        events = self._informer.all("v1", "Event")
        return pod_status.describe(pod_status.Seen(pods, (), (), events))


class AdoptedParts:
    """Endpoints that the user, or whoever prepared the namespace, gives in place of a part."""

    def __init__(self, deployed: DeployedParts) -> None:
        self._deployed = deployed
        self._store = deployed.store

    def keep(self, name: str, endpoint: Endpoint) -> None:
        """Keep one in place of this part."""
        self._store.keep(_given(name), endpoint.token)
        ca = endpoint.ca_file.read_text(encoding="utf-8") if endpoint.ca_file else None
        self._store.remember(_given(name) + " ca", ca)
        self._store.remember(_given(name), endpoint.url)

    def forget(self, name: str) -> None:
        """The kit's own part takes its place."""
        self._store.keep(_given(name), None)
        for kept in (_given(name), _given(name) + " ca"):
            self._store.remember(kept, None)

    def url(self, name: str) -> str | None:
        """The address of what was adopted as this part, or None."""
        return read(self._deployed.facts(), _given(name))

    def find(self, name: str) -> Endpoint | None:
        """How to reach what was adopted as this part, or None."""
        url = self.url(name)
        if url is None:
            return None
        token = self._store.kept(_given(name))
        ca = read(self._deployed.facts(), _given(name) + " ca")
        ca_file = self._store.endpoints.ca_file(name, ca) if ca else None
        return Endpoint(url, token, ca_file=ca_file, adopted=True)


def _given(name: str) -> str:
    """Under which name it is kept; an older kit's namespaces have this word, too."""
    return f"given {name}"
