"""What notebooks keep for each other: credentials in a Secret, plain facts in a ConfigMap.

Both lie in the namespace, so that another kernel, another machine or a workbench goes on where this
one stopped, and so that whoever may read the namespace's Secrets, and nobody else, has them. By
them the parts are known: those that were deployed, and those that somebody else runs.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping

from workshop.core.errors import PartFailed, StepMissing, WorkshopError
from workshop.core.secret import Secret
from workshop.targets.base import Endpoint, PartStatus
from workshop.targets.cluster import namespaces, objects, pod_status
from workshop.targets.cluster.api import MANAGER, Api, Object
from workshop.targets.cluster.endpoints import Endpoints, Location
from workshop.targets.cluster.errors import Refused
from workshop.targets.cluster.informer import Informer
from workshop.targets.spec import Parts

OFFER = "agent-workshop-room"
"""The name of all that ``workshop room`` puts into a namespace, and the value of its manager label.

The shared model is in the Secret of this name, which the notebooks read and never write: what an
attendee chooses instead is kept elsewhere, and cleaning up takes nothing of the room away.
"""

ATTEMPTS = 5  # How often a change is tried again when somebody else has just written.


class Store:
    """Reads and writes them; ``written`` is the ConfigMap as this process changed it last.

    ``endpoints`` are made with the credentials that are kept here.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self.endpoints = Endpoints(api, self.kept)
        self._secrets: dict[str, str] = {}
        self.written: Object | None = None

    def secret(self, name: str, make: Callable[[], str]) -> Secret:
        """A credential that is made once; two that ask at once get the same."""
        namespaces.ensure(self._api, None)
        key = _key(name)
        found = self._update("Secret", lambda kept: {} if key in kept else {key: make()})
        return Secret(objects.content(found)[key])

    def renew(self, part: str, credential: str, make: Callable[[], str]) -> Secret:
        """Put a new credential in this one's place; gives the old one, kept until ``retire``."""
        location = self.recall(fact(part))
        token = Location.read(location).token if location else None
        if token:
            before = self.kept(_before(credential)) or self.endpoints.token(token)
            self.keep(_before(credential), before)
            self.endpoints.renew_token(part, token, before)
            return before
        key, old = _key(credential), _key(_before(credential))

        def change(kept: Mapping[str, str]) -> Mapping[str, str]:
            if old in kept:
                return {}
            if key not in kept:
                what = f"There is no {credential} yet."
                raise StepMissing(what, where=self._api.where, hint="run 02 to 05 first")
            # Both in one step, so that there is never a new one without the old.
            return {old: kept[key], key: make()}

        return Secret(objects.content(self._update("Secret", change))[old])

    def retire(self, credential: str) -> None:
        """Forget the old one."""
        self.keep(_before(credential), None)

    def offered(self, part: str) -> tuple[Endpoint, str] | None:
        """The model that ``workshop room`` offers in this namespace, or None."""
        given = objects.content(self._api.get("v1", "Secret", OFFER)) if part == "model" else {}
        if not given.get("url"):
            return None
        token, ca = given.get("token"), given.get("ca")
        endpoint = Endpoint(
            given["url"],
            token=Secret(token) if token else None,
            ca_file=self.endpoints.ca_file(OFFER, ca) if ca else None,
        )
        return endpoint, given.get("name", "")

    def keep(self, name: str, value: Secret | None) -> None:
        """Keep a credential that was made elsewhere; None forgets it."""
        self._set("Secret", _key(name), value.reveal() if value else None)

    def kept(self, name: str) -> Secret | None:
        """A credential that was made before, or None."""
        if _key(name) not in self._secrets:
            self.secrets()
        value = self._secrets.get(_key(name))
        return Secret(value) if value else None

    def secrets(self) -> list[Secret]:
        """All credentials that are kept, so that they can be masked."""
        self._secrets = objects.content(self._api.get("v1", "Secret", MANAGER))
        return [Secret(value) for value in self._secrets.values() if value]

    def remember(self, name: str, value: str | None) -> None:
        """Keep a plain fact; None forgets it."""
        self.written = self._set("ConfigMap", _key(name), value)

    def recall(self, name: str) -> str | None:
        """A fact, or None."""
        return _read(self._api.get("v1", "ConfigMap", MANAGER), name)

    def report(self, step: str, told: Mapping[str, str]) -> None:
        """Tell the room how far a notebook is; nothing where no instructor made the namespace."""
        meta = {"name": OFFER, "namespace": self._api.namespace}
        thing = objects.made("v1", "ConfigMap", meta)
        try:
            self._api.merge(thing, {"data": {step: json.dumps(told)}})
        except Refused as error:
            if error.code not in (403, 404):
                raise

    def _set(self, kind: str, key: str, text: str | None) -> Object | None:
        return self._update(
            kind, lambda kept: {} if text is None and key not in kept else {key: text}
        )

    def _update(
        self, kind: str, change: Callable[[Mapping[str, str]], Mapping[str, str | None]]
    ) -> Object | None:
        """Change what is kept by what ``change`` makes of it; gives the object as it is then."""
        for _ in range(ATTEMPTS):
            thing = self._api.get("v1", kind, MANAGER)
            changed = change(objects.content(thing))
            try:
                thing = self._write(kind, thing, changed) if changed else thing
            except Refused as error:
                # Somebody else has just made it, changed it, or removed it.
                if error.code == 409 or (error.code == 404 and thing is not None):
                    continue
                raise
            if kind == "Secret":
                self._secrets = objects.content(thing)
            return thing
        raise PartFailed(
            f"Somebody else keeps changing the kit's {kind}.",
            where=self._api.where,
            hint=f"kubectl get {kind.lower()} {MANAGER} -w",
        )

    def _write(self, kind: str, kept: Object | None, change: Mapping[str, str | None]) -> Object:
        meta = {"name": MANAGER, "labels": objects.labels("workshop")}
        thing = objects.made("v1", kind, meta)
        data = dict(change)
        if kind == "Secret":
            data = {k: v and base64.b64encode(v.encode()).decode() for k, v in change.items()}
        if kept is None:
            return self._api.create(thing | {"data": data})
        # A Secret's is refused when somebody else has written in the meantime.
        version = {"resourceVersion": kept["metadata"]["resourceVersion"]}
        only = {"metadata": version} if kind == "Secret" else {}
        return self._api.merge(thing, only | {"data": data})


class DeployedParts:
    """The parts by what is kept, and by the namespace as it is now.

    ``parts`` are all that there are; ``names``, those that run on a cluster.
    """

    def __init__(self, api: Api, informer: Informer, store: Store, parts: Parts) -> None:
        self.parts = parts
        self.names = parts.on("cluster")
        self._api = api
        self._informer = informer
        self.store = store

    def locations(self) -> dict[str, Location]:
        """Where the parts are that were deployed, those of others left out."""
        facts = self._facts()
        return {n: Location.read(kept) for n in self.names if (kept := _read(facts, fact(n)))}

    def running(self, name: str) -> Location:
        """Where a part is that runs; ``StepMissing``, where it was not deployed, or has ended."""
        location = self.locations().get(name)
        if location is None:
            raise StepMissing(
                f"{name} was not deployed yet, or was stopped.",
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

    def ready_pods(self, location: Location) -> list[Object]:
        """The part's pods that are ready."""
        return pod_status.ready(self._informer.all("v1", "Pod"), location.pods)

    def status(self, name: str, location: Location) -> PartStatus:
        """One part, as it is now."""
        state = "running" if self.ready_pods(location) else "not ready"
        place = f"{location.service}.{self._api.namespace}.svc:{location.port}"
        return PartStatus(name, state, f"{location.scheme}://{place}", self._describe(location))

    def log(self, name: str, lines: int) -> list[str]:
        """The newest lines of all pods together, oldest first: replicas share the part's work."""
        found: list[tuple[str, str, str]] = []
        failed: WorkshopError | None = None
        for pod, container in self._logged(name):
            try:
                read = list(self._api.logs(pod, container, lines=lines, times=True))
                found += [line.partition(" ") for line in read]
            except WorkshopError as error:
                # One that does not run yet has none; the others' is worth seeing.
                failed = error
        if failed and not found:
            raise failed
        # Stable: lines of one pod and one moment keep their order.
        return [text for _, _, text in sorted(found, key=lambda one: one[0])][-lines:]

    def follow(self, name: str, lines: int) -> Iterator[str]:
        """The log of the newest pod, on and on."""
        pod, container = self._logged(name)[-1]
        return self._api.logs(pod, container, lines=lines, follow=True)

    def adopt(self, name: str, endpoint: Endpoint) -> None:
        """Keep an endpoint that the user, or whoever prepared the namespace, runs as this part."""
        self.store.keep(_given(name), endpoint.token)
        ca = endpoint.ca_file.read_text(encoding="utf-8") if endpoint.ca_file else None
        self.store.remember(_given(name) + " ca", ca)
        self.store.remember(_given(name), endpoint.url)

    def forget(self, name: str) -> None:
        """The kit's own part takes its place."""
        self.store.keep(_given(name), None)
        for kept in (_given(name), _given(name) + " ca"):
            self.store.remember(kept, None)

    def adopted_url(self, name: str) -> str | None:
        """The address of what was adopted as this part, or None."""
        return _read(self._facts(), _given(name))

    def adopted(self, name: str) -> Endpoint | None:
        """How to reach what was adopted as this part, or None."""
        url = self.adopted_url(name)
        if url is None:
            return None
        ca = _read(self._facts(), _given(name) + " ca")
        ca_file = self.store.endpoints.ca_file(name, ca) if ca else None
        return Endpoint(url, self.store.kept(_given(name)), ca_file=ca_file, adopted=True)

    def _facts(self) -> Object | None:
        """The ConfigMap as a watch has it, or as it was written here if the watch is behind."""
        kept = self._informer.all("v1", "ConfigMap", f"metadata.name={MANAGER}")
        watched, written = kept[0] if kept else None, self.store.written
        if written is None or (watched and _version(watched) >= _version(written)):
            return watched
        return written

    def _logged(self, name: str) -> list[tuple[str, str]]:
        """The pods of a part, the newest last, each with its first container."""
        location = self.locations().get(name)
        found = self._pods(location) if location else []
        if not found:
            hint = f"run {self.parts.notebook(name)}"
            raise StepMissing(f"{name} has no pod.", where=self._api.where, hint=hint)
        return pod_status.by_age(found)

    def _pods(self, location: Location) -> list[Object]:
        return pod_status.current(self._informer.all("v1", "Pod"), location.pods, "")

    def _describe(self, location: Location) -> str:
        """What its pods do at the moment."""
        events = self._informer.all("v1", "Event")
        return pod_status.describe(pod_status.Seen(self._pods(location), (), (), events))


def fact(part: str) -> str:
    """Under which name a part's location is kept."""
    return f"part {part}"


def _before(credential: str) -> str:
    """The name under which the old credential is kept while a new one takes its place."""
    return f"{credential} before"


def _read(kept: Object | None, name: str) -> str | None:
    """A fact in this ConfigMap, or None."""
    return objects.content(kept).get(_key(name))


def _version(thing: Object) -> int:
    """Of one object; larger is newer, as Kubernetes 1.35 promises and etcd has always had it."""
    return int(thing["metadata"]["resourceVersion"])


def _key(name: str) -> str:
    """A name as these objects allow one: letters, digits, dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def _given(part: str) -> str:
    """Under which name an adopted part is kept; an older kit's namespaces have this word, too."""
    return f"given {part}"
