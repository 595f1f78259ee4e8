"""A part's objects, applied: at once, in two waves, and without what is not wanted any more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from workshop.core.progress import Stages
from workshop.targets.cluster import objects, pod_status
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.delete import Cleaning
from workshop.targets.cluster.manifests import Plan

AT_ONCE = 8
"""Objects that are applied at the same time."""


def apply(
    api: Api, part: str, plan: Plan, stage: Stages, *, was_up: bool
) -> Literal["created", "reused", "changed", "restarted"]:
    """Apply what a part is made of; gives what that is for the part.

    Args:
        api: The cluster.
        part: The part's name.
        plan: What to apply.
        stage: Shows what is done.
        was_up: Whether it was ready once. One that never was, was begun ahead of its notebook, or
            by one that was interrupted.
    """
    kind = "StatefulSet" if plan.members else "Deployment"
    before = api.get("apps/v1", kind, plan.deployment)
    was = before and pod_status.carries(before["spec"]["template"], plan.digest)
    if not was:
        stage(f"applying {len(plan.objects)} objects in {api.namespace}")
    Cleaning(api).outdated_jobs(plan)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="apply") as pool:
        for wave in objects.waves(plan.objects):
            list(pool.map(api.apply, wave))
    if not was:
        for removed in Cleaning(api).prune(part, plan.objects):
            stage(f"removed {removed}, which this part does not need any more")
        return "changed" if before else "created"
    if before and (before.get("status") or {}).get("availableReplicas", 0):
        return "reused"
    return "restarted" if was_up else "created"
