"""Which pod and container a part's log is read from."""

from __future__ import annotations

from workshop.cluster import trouble
from workshop.cluster.api import Api
from workshop.cluster.reach import Way
from workshop.cluster.watching import Watching
from workshop.errors import StepMissing
from workshop.steps import notebook_of


def newest(api: Api, watching: Watching, name: str, way: Way | None) -> tuple[str, str]:
    """The newest pod of a part, and its first container.

    Raises:
        StepMissing: It has none.
    """
    pods = trouble.current(watching.all("v1", "Pod"), way.pods, "") if way else []
    if not pods:
        hint = f"run {notebook_of(name)}"
        raise StepMissing(f"{name} has no pod.", where=api.where, hint=hint)
    pod = max(pods, key=lambda one: str(one["metadata"]["creationTimestamp"]))
    return str(pod["metadata"]["name"]), str(pod["spec"]["containers"][0]["name"])
