"""Endpoints that the user, or whoever prepared the namespace, gives in place of a part."""

from __future__ import annotations

from workshop.targets.base import Endpoint
from workshop.targets.cluster.api import Object
from workshop.targets.cluster.store import Store, read


class Given:
    """Keeps them beside what else notebooks keep for each other."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, name: str, endpoint: Endpoint) -> None:
        """Keep one in place of this part."""
        self._store.given(_fact(name), endpoint.token)
        ca = endpoint.ca_file.read_text(encoding="utf-8") if endpoint.ca_file else None
        self._store.remember(_fact(name) + " ca", ca)
        self._store.remember(_fact(name), endpoint.url)

    def forget(self, name: str) -> None:
        """The kit's own part takes its place."""
        self._store.given(_fact(name), None)
        for fact in (_fact(name), _fact(name) + " ca"):
            self._store.remember(fact, None)

    def url(self, facts: Object | None, name: str) -> str | None:
        """The address of what is given in place of this part, or None."""
        return read(facts, _fact(name))

    def find(self, facts: Object | None, name: str) -> Endpoint | None:
        """How to reach what is given in place of this part, or None."""
        given = self.url(facts, name)
        if given is None:
            return None
        token, ca = self._store.kept(_fact(name)), read(facts, _fact(name) + " ca")
        ca_file = self._store.reach.ca_file(name, ca) if ca else None
        return Endpoint(given, token, ca_file=ca_file, adopted=True)


def _fact(name: str) -> str:
    return f"given {name}"
