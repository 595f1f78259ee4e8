"""What custom resources, Jobs and Routes say of themselves, as one sentence.

Pure functions of one object, as ``workshop.cluster.trouble`` has them for pods.
"""

from __future__ import annotations

from workshop.cluster.reach import admitted
from workshop.cluster.transport import Object
from workshop.cluster.trouble import Trouble


def given_up(resource: Object) -> Trouble | None:
    """What the operator says when it gave up on a custom resource; it must have its ``kind``."""
    kind, status = resource["kind"], resource.get("status") or {}
    model = status.get("modelStatus") or {}
    failed = status.get("phase") == "Failed"
    blocked = model.get("transitionStatus") in ("InvalidSpec",)
    if not failed and not blocked:
        return None
    said = [
        f"{one['type']}: {one.get('message') or one.get('reason')}"
        for one in status.get("conditions") or []
        if one.get("status") == "False"
    ]
    said += [str((model.get("lastFailureInfo") or {}).get("message") or "")]
    state = "; ".join(filter(None, said)) or f"phase {status.get('phase')}"
    name = resource["metadata"]["name"]
    return Trouble("was given up by its operator", state, f"kubectl describe {kind} {name}")


def awaited(resource: Object) -> str:
    """What a custom resource waits for, while there is nothing that runs it."""
    status = resource.get("status")
    if not status:
        return f"the operator has not looked at the {resource['kind']} yet: is it running?"
    phase = status.get("phase") or ", ".join(
        f"{one['type']}={one['status']}" for one in status.get("conditions") or []
    )
    return f"{resource['kind']}: {phase}"


def failed_job(job: Object) -> Trouble | None:
    """Why a Job will not be tried again, or None."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition["type"] == "Failed" and condition["status"] == "True":
            name = job["metadata"]["name"]
            return Trouble(
                f"could not be set up: its job {name} failed",
                str(condition.get("message", "")),
                f"kubectl logs job/{name}",
            )
    return None


def refused_route(route: Object) -> Trouble | None:
    """Why the router does not serve a Route, or None: it serves it, or has not looked at it."""
    if admitted(route):
        return None
    for ingress in (route.get("status") or {}).get("ingress") or []:
        for condition in ingress.get("conditions") or []:
            if condition["type"] == "Admitted":
                said = f"{condition.get('reason')}: {condition.get('message')}"
                name = route["metadata"]["name"]
                hint = f"kubectl describe route {name}; another Route may have its host"
                return Trouble("has a Route that was refused", said, hint)
    return None
