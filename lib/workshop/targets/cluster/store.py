"""What notebooks keep for each other: credentials in a Secret, plain facts in a ConfigMap.

Both lie in the namespace, so that another kernel, another machine or a workbench goes on where this
one stopped, and so that whoever may read the namespace's Secrets, and nobody else, has them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

from workshop.core.errors import PartFailed, StepMissing
from workshop.core.secret import Secret
from workshop.core.wait import NotYet, wait_for
from workshop.targets.base import Offer
from workshop.targets.cluster import namespaces, objects, offered_model
from workshop.targets.cluster.api import MANAGER, Api, Object
from workshop.targets.cluster.endpoints import Reach, Way
from workshop.targets.cluster.errors import Refused

TOKEN_MADE = 30.0
"""Seconds for the cluster to make a token."""

ATTEMPTS = 5
"""How often a credential is looked for again when somebody else has just written one."""


class Store:
    """Reads and writes them, and has the tokens that the cluster makes made anew.

    ``reach`` makes endpoints with the credentials that are kept here.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self.reach = Reach(api, self.kept)
        self._secrets: dict[str, str] = {}
        self.written: Object | None = None

    def secret(self, name: str, make: Callable[[], str]) -> Secret:
        """A credential that is made once; two that ask at once get the same.

        Raises:
            Refused: This user may not read or write the namespace's Secrets.
        """
        namespaces.ensure(self._api, None)
        key = _key(name)
        for _ in range(ATTEMPTS):
            kept = self._read("Secret")
            if kept is not None:
                self._secrets = _decoded(kept)
            if key in self._secrets:
                return Secret(self._secrets[key])
            try:
                self._write("Secret", kept, {key: base64.b64encode(make().encode()).decode()})
            except Refused as error:
                if error.code != 409:
                    raise
        raise self._contended("Secret")

    def renew(self, part: str, credential: str, make: Callable[[], str]) -> Secret:
        """Put a new credential in this one's place; gives the old one, kept until ``retire``.

        Raises:
            StepMissing: There is none of this name.
            PartFailed: The cluster has made no token for the part.
            PartTooSlow: The cluster made no other.
        """
        kept = self.recall(fact(part))
        token = Way.read(kept).token if kept else None
        if token is None:
            return self._renew_own(credential, make)
        return self._renew_token(part, token, credential)

    def _renew_own(self, name: str, make: Callable[[], str]) -> Secret:
        for _ in range(ATTEMPTS):
            kept = self._read("Secret")
            self._secrets = _decoded(kept) if kept else {}
            old = self._secrets.get(_key(before(name))) or self._secrets.get(_key(name))
            if kept is None or old is None:
                raise StepMissing(
                    f"There is no {name} yet.", where=self._api.where, hint="run 02 to 05 first"
                )
            if _key(before(name)) in self._secrets:
                return Secret(old)
            change = {before(name): old, name: make()}
            encoded = {
                _key(key): base64.b64encode(value.encode()).decode()
                for key, value in change.items()
            }
            try:
                # Both in one step, so that there is never a new one without the old.
                self._write("Secret", kept, encoded)
            except Refused as error:
                if error.code != 409:
                    raise
                continue
            self._secrets |= {_key(key): value for key, value in change.items()}
            return Secret(old)
        raise self._contended("Secret")

    def _renew_token(self, part: str, where: tuple[str, str], credential: str) -> Secret:
        """Have the token in this Secret and key made anew.

        The cluster believes a token for as long as its Secret is there: one that is deleted and
        made again holds another.
        """
        api, (name, key) = self._api, where
        old = self.kept(before(credential))
        if old is None:
            old = self.reach.token(where)
            self.given(before(credential), old)
        self.reach.forget_token(where)
        empty = objects.one(objects.build(objects.MANIFESTS / part / "base"), "Secret", name)
        if api.get("v1", "Secret", name) is not None and self.reach.token(where) == old:
            api.delete(empty)
        api.apply(empty)

        def made() -> object:
            data = (api.get("v1", "Secret", name) or {}).get("data") or {}
            return bool(data.get(key)) or NotYet(f"the Secret {name} has no {key} yet")

        wait_for(
            "the cluster to make a token", made, timeout=TOKEN_MADE, every=0.2, where=api.where
        )
        self.reach.forget_token(where)
        return old

    def retire(self, credential: str) -> None:
        """Forget the old one."""
        self.given(before(credential), None)

    def offered(self, part: str) -> Offer | None:
        """The model that ``workshop room`` has put into this namespace."""
        return offered_model.read(self._api, self.reach) if part == "model" else None

    def given(self, name: str, value: Secret | None) -> None:
        """Keep a credential that the user gave; None forgets it."""
        encoded = base64.b64encode(value.reveal().encode()).decode() if value else None
        kept = self._read("Secret")
        if kept is not None or encoded is not None:
            self._write("Secret", kept, {_key(name): encoded})
        self._secrets.pop(_key(name), None)

    def kept(self, name: str) -> Secret | None:
        """A credential that was made before, or None."""
        if _key(name) not in self._secrets:
            self.secrets()
        value = self._secrets.get(_key(name))
        return Secret(value) if value else None

    def secrets(self) -> list[Secret]:
        """All credentials that are kept, so that they can be masked."""
        found = self._read("Secret")
        self._secrets = _decoded(found) if found else {}
        return [Secret(value) for value in self._secrets.values() if value]

    def remember(self, name: str, value: str | None) -> None:
        """Keep a plain fact; None forgets it."""
        for _ in range(ATTEMPTS):
            kept = self._read("ConfigMap")
            if kept is None and value is None:
                return
            try:
                self.written = self._write("ConfigMap", kept, {_key(name): value})
                return
            except Refused as error:
                # Somebody else has just made it, or removed it.
                if error.code not in (404, 409):
                    raise
        raise self._contended("ConfigMap")

    def recall(self, name: str) -> str | None:
        """A fact, or None."""
        return read(self._read("ConfigMap"), name)

    def _contended(self, kind: str) -> PartFailed:
        return PartFailed(
            f"Somebody else changes the kit's {kind} all the time.",
            where=self._api.where,
            hint=f"kubectl get {kind.lower()} {MANAGER} -w",
        )

    def _read(self, kind: str) -> Object | None:
        return self._api.get("v1", kind, MANAGER)

    def newer(self, watched: Object | None) -> Object | None:
        """The ConfigMap as a watch has it, or as it was written here if the watch is behind."""
        if self.written is None or (watched and _version(watched) >= _version(self.written)):
            return watched
        return self.written

    def _write(self, kind: str, kept: Object | None, change: dict[str, Any]) -> Object:
        thing: Object = {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": MANAGER, "labels": objects.labels("workshop")},
        }
        if kept is None:
            present = {key: value for key, value in change.items() if value is not None}
            return self._api.create(thing | {"data": present})
        # Refused when somebody else has written in the meantime.
        version = {"resourceVersion": kept["metadata"]["resourceVersion"]}
        only = {"metadata": version} if kind == "Secret" else {}
        return self._api.merge(thing, only | {"data": change})


def fact(part: str) -> str:
    """Under which name the way to a part is kept."""
    return f"part {part}"


def before(name: str) -> str:
    """The name under which the old credential is kept while a new one takes its place."""
    return f"{name} before"


def read(kept: Object | None, name: str) -> str | None:
    """A fact in this ConfigMap, or None."""
    value = ((kept or {}).get("data") or {}).get(_key(name))
    return str(value) if value is not None else None


def _version(thing: Object) -> int:
    """Of one object; larger is newer, as Kubernetes 1.35 promises and etcd has always had it."""
    return int(thing["metadata"]["resourceVersion"])


def _key(name: str) -> str:
    """A name as these objects allow one: letters, digits, dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def _decoded(kept: Object) -> dict[str, str]:
    data = kept.get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}
