"""What the API server says when it refuses, in plain words with the way on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from workshop.core.errors import WorkshopError

NOT_TYPED = "failed to create typed patch object"
"""Server-side apply says so of a field that the kind does not have, with status 500."""


class Refused(WorkshopError):
    """The API server said no: with an HTTP status, and its word, such as ``AlreadyExists``."""

    code: int = 0
    reason: str = ""


class Forbidden(Refused):
    """This user may not do it."""


class Unreachable(WorkshopError):
    """The API server does not answer."""


def refused(
    code: int, body: str, *, what: str, where: str, sent: Mapping[str, Any] | None = None
) -> Refused:
    """The error for an answer with this status; ``body`` is a ``Status`` object, or anything.

    ``what`` was tried, such as ``apply Deployment mongodb``, with the object ``sent``, which is
    never shown.
    """
    try:
        status = json.loads(body)
    except ValueError:
        status = {}
    status = status if isinstance(status, dict) else {}
    reason = str(status.get("reason", ""))
    message = " ".join(str(status.get("message") or body).split())[:600]
    kind = str((sent or {}).get("kind", "object"))
    said, hint = _explained(code, reason, message, kind)
    error = (Forbidden if _is_permission(code, message) else Refused)(
        f"The cluster refused to {what}: {said}.", where=where, state=message, hint=hint
    )
    error.code, error.reason = code, reason
    return error


def _is_permission(code: int, message: str) -> bool:
    return code == 403 and " cannot " in message


def _explained(code: int, reason: str, message: str, kind: str) -> tuple[str, str]:
    """What it means, and what fixes it."""
    if code == 401:
        return (
            "the login is not valid, or has expired",
            "log in again (oc login, or a new kubeconfig), then run this cell again",
        )
    if "exceeded quota" in message:
        return (
            "the namespace's quota is used up",
            "kubectl describe quota; remove what is not needed, or ask for a larger quota",
        )
    if "is being terminated" in message or "NamespaceTerminating" in message:
        return (
            "the namespace is being deleted",
            "wait until it is gone, or set WORKSHOP_NAMESPACE to another, then start at step 0",
        )
    if "violates PodSecurity" in message or "security context constraint" in message:
        return (
            "the pod's rights do not fit this namespace",
            "use the kit's manifests unchanged: they fit the level restricted",
        )
    if _is_permission(code, message):
        return (
            "this user may not",
            "run 00_check_environment: it lists what is missing, and the RoleBinding that gives it",
        )
    if code == 409 and "conflict" in message:
        owner = re.search(r'conflicts? with "([^"]+)"', message)
        return (
            f"{owner.group(1) if owner else 'somebody else'} manages a field of it",
            "undo that change, or delete the object and run this cell again: the kit does not "
            "overwrite what somebody else has set",
        )
    if code == 404 and ("could not find the requested resource" in message or not reason):
        return f"it does not know {kind}", "install the operator that brings it; run step 0"
    if code == 404 and "namespaces" in message:
        return "there is no such namespace", "run 00_check_environment"
    if code == 422 or NOT_TYPED in message:
        return "it is not valid", "is the operator of another version? Compare with kubectl explain"
    return f"HTTP {code}", "read the state above; then run this cell again"
