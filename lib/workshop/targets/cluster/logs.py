"""The log of several pods as one: replicas share a part's work, and so its log."""

from __future__ import annotations

from collections.abc import Sequence

from workshop.core.errors import WorkshopError
from workshop.targets.cluster.api import Api


def newest(api: Api, pods: Sequence[tuple[str, str]], *, lines: int) -> list[str]:
    """The newest lines of all together, oldest first.

    Args:
        api: The cluster.
        pods: By name, each with the container whose log is read.
        lines: How many.

    Raises:
        WorkshopError: None of them has a log yet.
    """
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
