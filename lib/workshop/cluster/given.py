"""Endpoints that a user brings in place of parts: kept in the namespace, tokens in its Secret."""

from __future__ import annotations

from workshop.cluster.memory import Memory, read
from workshop.cluster.reach import Reach
from workshop.cluster.transport import Object
from workshop.target import Endpoint


class Given:
    """Keeps them by the part's name."""

    def __init__(self, memory: Memory, reach: Reach) -> None:
        self._memory = memory
        self._reach = reach

    def keep(self, name: str, endpoint: Endpoint) -> None:
        """Keep this endpoint for a part."""
        self._memory.given(_fact(name), endpoint.token)
        ca = endpoint.ca_file.read_text(encoding="utf-8") if endpoint.ca_file else None
        self._memory.remember(_fact(name) + " ca", ca)
        self._memory.remember(_fact(name), endpoint.url)

    def forget(self, name: str, facts: Object | None) -> None:
        """The kit's own part takes its place, if there was one."""
        if read(facts, _fact(name)) is None:
            return
        self._memory.given(_fact(name), None)
        for fact in (_fact(name), _fact(name) + " ca"):
            self._memory.remember(fact, None)

    def url(self, name: str, facts: Object | None) -> str | None:
        """Its URL, or None when the part is the kit's own."""
        return read(facts, _fact(name))

    def find(self, name: str, facts: Object | None) -> Endpoint | None:
        """The endpoint, or None when the part is the kit's own."""
        given = read(facts, _fact(name))
        if given is None:
            return None
        token, ca = self._memory.kept(_fact(name)), read(facts, _fact(name) + " ca")
        return Endpoint(given, token, ca_file=self._reach.ca_file(name, ca) if ca else None)


def _fact(name: str) -> str:
    return f"given {name}"
