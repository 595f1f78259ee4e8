"""What runs, and what it says: for ``workshop status`` and ``workshop logs``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workshop.cluster import trouble
from workshop.cluster.api import Api
from workshop.cluster.reach import Way
from workshop.cluster.watching import Watching
from workshop.errors import StepMissing
from workshop.masked import Secret, mask
from workshop.steps import notebook_of
from workshop.target import PartStatus


@dataclass(frozen=True)
class Log:
    """How much of a log is shown: its last lines, also those to come, without these secrets."""

    lines: int
    follow: bool
    hidden: Sequence[Secret]


def line(name: str, way: Way, watching: Watching, namespace: str) -> PartStatus:
    """One part, as it is now."""
    pods = trouble.current(watching.all("v1", "Pod"), way.pods, "")
    state = "running" if any(map(trouble.is_ready, pods)) else "not ready"
    url = f"{way.scheme}://{way.service}.{namespace}.svc:{way.port}"
    return PartStatus(name, state, url, describe(way, watching))


def describe(way: Way, watching: Watching) -> str:
    """What a part's pods do."""
    pods = trouble.current(watching.all("v1", "Pod"), way.pods, "")
    return trouble.describe(trouble.Seen(pods, (), (), watching.all("v1", "Event")))


def log(api: Api, watching: Watching, name: str, way: Way | None, shown: Log) -> Iterator[str]:
    """The log of a part's newest pod.

    Raises:
        StepMissing: It has no pod.
    """
    pods = trouble.current(watching.all("v1", "Pod"), way.pods, "") if way else []
    if not pods:
        hint = f"run {notebook_of(name)}"
        raise StepMissing(f"{name} has no pod.", where=api.where, hint=hint)
    newest = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    pod, container = newest["metadata"]["name"], newest["spec"]["containers"][0]["name"]
    for text in api.logs(pod, container, lines=shown.lines, follow=shown.follow):
        yield mask(text, shown.hidden)
