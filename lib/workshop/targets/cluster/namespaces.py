"""The user's namespace: whether it is there, whether it can be made, and making it."""

import contextlib

from workshop.core.errors import SettingsError
from workshop.core.progress import Stages
from workshop.core.wait import NotYet, wait_for
from workshop.targets.cluster import objects, permissions
from workshop.targets.cluster.api import MANAGER, Api, Object
from workshop.targets.cluster.errors import Forbidden

NAMESPACE = ("v1", "Namespace")

REQUEST = ("project.openshift.io/v1", "ProjectRequest")
"""OpenShift's way for a user without cluster rights: who asks for a project becomes its admin."""


def find(api: Api) -> Object | None:
    """The namespace, or None; ``Forbidden``, there or not, to a user who may not see it."""
    return api.get(*NAMESPACE, api.namespace)


def is_visible(api: Api) -> bool:
    """Whether it is there, as far as this user can see."""
    with contextlib.suppress(Forbidden):
        return find(api) is not None
    try:
        # Who may not ask for the namespace itself may ask for what is in it; OpenShift forbids
        # both for a project that is not there.
        api.get("v1", "ConfigMap", MANAGER)
    except Forbidden:
        return False
    return True


def is_terminating(namespace: Object) -> bool:
    """Whether it is being deleted: nothing can be made in it any more."""
    return bool(
        namespace["metadata"].get("deletionTimestamp")
        or (namespace.get("status") or {}).get("phase") == "Terminating"
    )


def way_to_make(api: Api) -> str:
    """How this user may make it: ``Namespace``, ``ProjectRequest``, or "" for not at all."""
    for kind, verbs in ((NAMESPACE, ("create", "patch")), (REQUEST, ("create",))):
        wanted = permissions.of_kind(api, *kind, verbs, "")
        if wanted and not permissions.lacking(api, wanted):
            return kind[1]
    return ""


def ensure(api: Api, stage: Stages | None) -> None:
    """Make it, unless it is there; refused where this user may not."""
    name = api.namespace
    with contextlib.suppress(Forbidden):
        if find(api) is not None:
            return
    way = way_to_make(api)
    if not way:
        raise SettingsError(
            f"There is no namespace {name} that this user may use or create.",
            where=api.url,
            hint=f"an administrator runs: kubectl create namespace {name}; or set "
            "WORKSHOP_NAMESPACE to one of yours; then run 00_check_environment",
        )
    if stage:
        stage(f"making the {'project' if way == REQUEST[1] else 'namespace'} {name}")
    if way == REQUEST[1]:
        api.create(objects.made(*REQUEST, {"name": name}))
    else:
        meta = {"name": name, "labels": objects.labels("workshop")}
        api.apply(objects.made(*NAMESPACE, meta))

    def account() -> object:
        # Pods are refused until the namespace has its ServiceAccount; and the maker of a project
        # has no rights in it for a moment.
        try:
            found = api.get("v1", "ServiceAccount", "default")
        except Forbidden as error:
            return NotYet(error.state)
        return found or NotYet("its ServiceAccount is not there yet")

    wait_for("the namespace to be ready", account, timeout=30, every=0.1, where=api.where)
