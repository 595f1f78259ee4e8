"""Many namespaces at once: work shared out to threads, and removing them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from workshop.cluster.api import Api
from workshop.cluster.refusals import Refused
from workshop.cluster.room_objects import CLUSTER_KINDS, ROOM
from workshop.progress import Stages
from workshop.wait import NotYet, wait_for

AT_ONCE = 8
"""Requests at the same time, each on a connection of its own."""

SHOWN = 0.5
"""Seconds between two lines of progress."""

GONE = 900.0
"""Seconds for namespaces to be gone. The cluster empties ten at a time, each in 5 seconds or more;
one whose pods take their half minute to end lasts longer."""


def named(api: Api, prefix: str) -> list[str]:
    """The namespaces that carry the label of this room."""
    names = (one["metadata"]["name"] for one in api.each("v1", "Namespace", f"{ROOM}={prefix}"))
    return sorted(names, key=lambda name: (len(name), name))


def remove(api: Api, names: Sequence[str], stage: Stages) -> None:
    """Delete these namespaces with all that is in them, and wait until they are gone.

    Raises:
        Refused: This user may not.
        PartTooSlow: One does not go; names those that are left.
    """

    def one(name: str) -> None:
        try:
            api.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        except Refused as error:
            # It is being deleted already, as after Ctrl-C.
            if error.code != 409:
                raise

    for_all(one, names, stage, "deleting namespaces")
    wanted = set(names)

    def left() -> set[str]:
        return wanted & {one["metadata"]["name"] for one in api.each("v1", "Namespace", ROOM)}

    gone(api, stage, left)


def remove_shared(api: Api, prefix: str) -> list[str]:
    """Delete what a room has outside of its namespaces."""
    removed = []
    for api_version, kind in CLUSTER_KINDS:
        for thing in api.list(api_version, kind, f"{ROOM}={prefix}"):
            if api.delete(thing):
                removed.append(f"{kind} {thing['metadata']['name']}")
    return removed


def gone(api: Api, stage: Stages, left: Callable[[], Iterable[str]]) -> None:
    """Wait until none of these namespaces is left."""

    def probe() -> object:
        names = sorted(left())
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        return NotYet(f"{len(names)} left: {shown}") if names else True

    wait_for(
        "deleted namespaces to be gone",
        probe,
        timeout=GONE,
        every=1.0,
        stage=stage,
        where=api.url,
        hint="kubectl get namespace NAME -o yaml: its conditions name what holds it",
    )


def for_all[Item](
    do: Callable[[Item], None], items: Sequence[Item], stage: Stages, what: str
) -> None:
    """Do it for each item, ``AT_ONCE`` at a time, and show how far it is.

    The first error ends it, and so does Ctrl-C: what was not begun is not done.
    """
    if not items:
        return
    stage(f"{what}: {len(items)}")
    over = threading.Event()

    def guarded(item: Item) -> None:
        if over.is_set():
            return
        try:
            do(item)
        except BaseException:
            over.set()
            raise

    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="room")
    shown = time.monotonic()
    try:
        for done, _ in enumerate(pool.map(guarded, items), 1):
            if time.monotonic() - shown >= SHOWN:
                stage.waiting(f"{what}: {done} of {len(items)}")
                shown = time.monotonic()
    finally:
        over.set()
        pool.shutdown(cancel_futures=True)
