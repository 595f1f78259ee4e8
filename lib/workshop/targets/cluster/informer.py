"""What is in the namespace now: kept up to date by watches, so that nothing is polled.

Not the official client's informer: version 36 logs a refusal, and tries again for ever.
"""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from workshop.core.errors import WorkshopError
from workshop.core.wait import NotYet, wait_for
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.errors import Unreachable

AGAIN = 1.0  # Seconds before a watch that broke is started again.
LISTED = 60.0  # Seconds for the first list, and for an API server that is away.


@dataclass
class _Watch:
    """One kind, followed by a thread that ends with the connection."""

    began: float = field(default_factory=time.monotonic)
    objects: dict[str, Object] = field(default_factory=dict)
    listed: bool = False
    ended: bool = False
    error: WorkshopError | None = None

    def follow(self, changes: Iterator[tuple[str, Object]]) -> None:
        try:
            for change, thing in changes:
                if change == "LISTED":
                    self.listed = True
                elif change == "DELETED":
                    self.objects.pop(thing["metadata"]["name"], None)
                elif change in ("ADDED", "MODIFIED"):
                    self.objects[thing["metadata"]["name"]] = thing
        except WorkshopError as error:
            self.error = error
        finally:
            self.ended = True

    def is_due(self) -> bool:
        """Whether it ended, and so long ago that it may start again."""
        broken = isinstance(self.error, Unreachable)
        return self.ended and (not broken or time.monotonic() - self.began >= AGAIN)


class Informer:
    """The namespace's objects by kind. Watches start when a kind is first asked for."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._watches: dict[tuple[str, str, str, str], _Watch] = {}
        self._one_at_a_time = threading.Lock()

    def all(
        self, api_version: str, kind: str, selected: str = "", namespace: str = ""
    ) -> list[Object]:
        """The objects of a kind as they are now; ``selected`` is a field selector.

        Raises ``Unreachable`` when the API server does not answer at this moment: ask again.
        """
        key = (api_version, kind, selected, namespace)
        with self._one_at_a_time:
            if key not in self._watches or self._watches[key].is_due():
                self._watches[key] = _Watch()
                changes = self._api.watch(api_version, kind, field=selected, namespace=namespace)
                follow = functools.partial(self._watches[key].follow, changes)
                threading.Thread(target=follow, name=f"watch {kind}", daemon=True).start()
            watch = self._watches[key]
        wait_for(
            f"the API server to list {kind}",
            lambda: watch.listed or watch.ended or NotYet("no answer"),
            timeout=LISTED,
            every=0.01,
            where=self._api.where,
        )
        if watch.error is not None:
            raise watch.error
        return list(watch.objects.values())

    def named(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """The object of this kind and name as it is now, or None."""
        every = self.all(api_version, kind, namespace=namespace)
        return next((one for one in every if one["metadata"]["name"] == name), None)


def patient[T](probe: Callable[[], T]) -> T | NotYet:
    """What a probe gives; ``NotYet`` while the API server is away."""
    try:
        return probe()
    except Unreachable as error:
        return NotYet(f"{error.what} {error.state}")
