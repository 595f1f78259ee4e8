"""What the API server says when it refuses, in plain words with the way on."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from workshop.core.errors import SettingsError, WorkshopError

NOT_TYPED = "failed to create typed patch object"
"""Server-side apply says so of a field that the kind does not have, with status 500."""

QUOTA_HINT = "kubectl describe quota; remove what is not needed, or ask for a larger quota"

EXPLAINED = (
    (
        "^401 ",
        "the login is not valid, or has expired",
        "log in again (oc login, or a new kubeconfig), then run this cell again",
    ),
    ("exceeded quota", "the namespace's quota is used up", QUOTA_HINT),
    (
        "is being terminated|NamespaceTerminating",
        "the namespace is being deleted",
        "wait until it is gone, or set WORKSHOP_NAMESPACE to another, then start at step 0",
    ),
    (
        "violates PodSecurity|security context constraint",
        "the pod's rights do not fit this namespace",
        "use the kit's manifests unchanged: they fit the level restricted",
    ),
    (
        "^403 .* cannot ",
        "this user may not",
        "run 00_check_environment: it lists what is missing, and the RoleBinding that gives it",
    ),
    (
        "^409 .*conflict",
        "{owner} manages a field of it",
        "undo that change, or delete the object and run this cell again: the kit does not "
        "overwrite what somebody else has set",
    ),
    (
        # Of an unknown path the answer is no Status, and has no reason.
        "^404 :|^404 .*could not find the requested resource",
        "it does not know {kind}",
        "install the operator that brings it; run step 0",
    ),
    ("^404 .*namespaces", "there is no such namespace", "run 00_check_environment"),
    (
        f"^422 |{NOT_TYPED}",
        "it is not valid",
        "is the operator of another version? Compare with kubectl explain",
    ),
    ("", "HTTP {code}", "read the state above; then run this cell again"),
)
"""A pattern of ``status reason: message``, what that means, and what fixes it."""


class Refused(WorkshopError):
    """The API server said no, with an HTTP status."""

    code: int = 0


class Forbidden(Refused):
    """This user may not do it."""


class Unreachable(WorkshopError):
    """The API server does not answer."""


def if_allowed[T, U](ask: Callable[[], T], otherwise: U) -> T | U:
    """What ``ask`` gives; ``otherwise`` where this user may not see it."""
    try:
        return ask()
    except Forbidden:
        return otherwise


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
    message = " ".join(str(status.get("message") or body).split())[:600]
    whole = f"{code} {status.get('reason', '')}: {message}"
    said, hint = next(row[1:] for row in EXPLAINED if re.search(row[0], whole))
    owner = re.search(r'conflicts? with "([^"]+)"', message)
    said = said.format(
        owner=owner.group(1) if owner else "somebody else",
        kind=(sent or {}).get("kind", "object"),
        code=code,
    )
    error = (Forbidden if code == 403 and " cannot " in message else Refused)(
        f"The cluster refused to {what}: {said}.", where=where, state=message, hint=hint
    )
    error.code = code
    return error


def no_cluster(where: str, state: str) -> SettingsError:
    """The error when there is no cluster to connect to."""
    return SettingsError(
        "There is no cluster to connect to.",
        where=where,
        state=state,
        hint="log in with oc login, or set KUBECONFIG to your cluster's file; without a cluster, "
        'set TARGET = "local"',
    )


def no_login(where: str, state: str, hint: str = "") -> SettingsError:
    """The error for a login that cannot be used."""
    return SettingsError(
        "The login for the cluster cannot be used.",
        where=where,
        state=state,
        hint=hint or "log in again: oc login, or a new kubeconfig",
    )
