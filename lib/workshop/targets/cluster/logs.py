"""Which pods a part's log is read from: replicas share its work, and so its log."""

from __future__ import annotations

from collections.abc import Iterator

from workshop.core.errors import StepMissing, WorkshopError
from workshop.parts.catalog import notebook_of
from workshop.targets.cluster import pod_status
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.endpoints import Way
from workshop.targets.cluster.informer import Watching


def follow(
    api: Api, watching: Watching, name: str, way: Way | None, *, lines: int
) -> Iterator[str]:
    """The log of the newest pod, on and on.

    Raises:
        StepMissing: There is no pod.
    """
    pod, container = _pods(api, watching, name, way)[-1]
    yield from api.logs(pod, container, lines=lines, follow=True)


def newest(api: Api, watching: Watching, name: str, way: Way | None, *, lines: int) -> list[str]:
    """The newest lines of all pods together, oldest first.

    Raises:
        StepMissing: There is no pod.
        WorkshopError: None of them has a log yet.
    """
    pods = _pods(api, watching, name, way)
    if len(pods) == 1:
        return list(api.logs(*pods[0], lines=lines))
    found: list[tuple[str, str]] = []
    failed: WorkshopError | None = None
    for pod, container in pods:
        try:
            read = list(api.logs(pod, container, lines=lines, times=True))
        except WorkshopError as error:
            # One that does not run yet has none; the others' is worth seeing.
            failed = error
            continue
        for line in read:
            time, _, text = line.partition(" ")
            found.append((time, text))
    if failed and not found:
        raise failed
    # Stable: lines of one pod and one moment keep their order.
    return [text for _, text in sorted(found, key=lambda one: one[0])][-lines:]


def _pods(api: Api, watching: Watching, name: str, way: Way | None) -> list[tuple[str, str]]:
    """The pods of a part, oldest first, each with its first container."""
    pods = pod_status.current(watching.all("v1", "Pod"), way.pods, "") if way else []
    if not pods:
        hint = f"run {notebook_of(name)}"
        raise StepMissing(f"{name} has no pod.", where=api.where, hint=hint)
    pods.sort(key=lambda one: str(one["metadata"]["creationTimestamp"]))
    return [(one["metadata"]["name"], one["spec"]["containers"][0]["name"]) for one in pods]
