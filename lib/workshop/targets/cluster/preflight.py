"""What the cluster target needs: of the cluster and of this user, as checks; and its images."""

import functools
import re
from typing import NamedTuple

import yaml

from workshop.core.checks import Check, Seen, tested
from workshop.targets.cluster import machines, namespaces, objects, permissions
from workshop.targets.cluster.api import MANAGER, Api
from workshop.targets.cluster.errors import Forbidden
from workshop.targets.cluster.machines import nodes
from workshop.targets.cluster.machines.machinesets import MACHINE_SET
from workshop.targets.cluster.manifests import ROUTE, is_openshift, llama_stack
from workshop.targets.cluster.network import probes

OLDEST = (1, 30)  # The first Kubernetes that lists all kinds at once; OpenShift 4.17 has it.
KINDS = {
    "Routes": ROUTE,
    "MachineSets": MACHINE_SET,
    **dict(zip(("KServe", "Llama Stack operator", "OGX operator"), objects.OPERATED, strict=True)),
}
"""What makes a cluster more than plain Kubernetes. The kit does without each of them."""

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
MONITORING = "cluster-monitoring-config"
LEVEL = "pod-security.kubernetes.io/enforce"


def checks(api: Api) -> list[Check]:
    """Every requirement, so that all lacks show at once, each with what fixes it."""
    oldest = ".".join(map(str, OLDEST))
    first = tested("API server", f"Kubernetes {oldest} or newer", _version, api)
    if not first.ok:
        # Without it, every other check would say the same.
        return [first]
    return [
        first,
        tested("cluster", "Kubernetes or OpenShift", _discovered, api),
        tested("namespace", "exists, or can be created", _namespace, api),
        tested("pod security", "any level: the kit's pods fit", _pod_security, api),
        tested("permissions", "all that the notebooks need", _permissions, api),
        tested("storage", "a default StorageClass", _storage, api),
        tested("kubectl", "builds the manifests", lambda: (True, objects.kubectl())),
        tested("GPU nodes", "only for notebook 01", _gpu_rights, api),
        *([tested("monitoring", "a note", _monitoring, api)] if is_openshift(api) else []),
    ]


def _version(api: Api) -> Seen:
    found = str(api.request("GET", "/version", what="tell its version").get("gitVersion"))
    is_new = tuple(map(int, re.findall(r"\d+", found)[:2])) >= OLDEST
    old = "" if is_new else " is too old: an administrator updates the cluster"
    return is_new, f"{found} at {api.url}{old}"


def _discovered(api: Api) -> Seen:
    name = "OpenShift" if is_openshift(api) else "plain Kubernetes"
    has = [word for word, kind in KINDS.items() if api.kind(*kind) is not None]
    try:
        offered = [one for one in nodes.accelerators(api.list(*nodes.NODE)) if one.ready]
        gpus = f"{len(offered)} nodes with a GPU" if offered else "no node with a GPU"
    except Forbidden:
        gpus = "nodes not visible to this user"
    return True, f"{name}; {', '.join(has) or 'no operators for the kit'}; {gpus}"


def _namespace(api: Api) -> Seen:
    name, unseen = api.namespace, "does not exist"
    try:
        found = namespaces.find(api)
    except Forbidden:
        found, unseen = None, "does not exist, or this user may not see it"
    if found and namespaces.is_terminating(found):
        return False, f"{name} is being deleted: wait, or set WORKSHOP_NAMESPACE to another"
    if found:
        return True, name
    if way := namespaces.way_to_make(api):
        return True, f"{name} {unseen}; it will be created (by a {way})"
    return False, (
        f"{name} {unseen}, and may not create it: an administrator runs kubectl create namespace "
        f"{name}, or you set WORKSHOP_NAMESPACE to one of yours"
    )


def _pod_security(api: Api) -> Seen:
    try:
        return True, objects.labels_of(namespaces.find(api)).get(LEVEL) or "none demanded"
    except Forbidden:
        return True, "not visible to this user"


def _permissions(api: Api) -> Seen:
    wanted = permissions.needed(api)
    lacks = permissions.lacking(api, wanted)
    if not lacks:
        return True, f"all {len(wanted)} in the namespace {api.namespace}"
    if _will_be_admin(api):
        return True, f"whoever creates the project {api.namespace} is its administrator"
    name = permissions.user(api)
    text = permissions.explained(name, api.namespace, lacks, openshift=is_openshift(api))
    return False, f"{len(lacks)} of {len(wanted)} are missing. {text}"


def missing_rights(api: Api) -> list[permissions.Right]:
    """What this user may not do of all that the notebooks need; nothing, if that will change."""
    lacks = permissions.lacking(api, permissions.needed(api))
    return [] if lacks and _will_be_admin(api) else lacks


def _will_be_admin(api: Api) -> bool:
    """Whether the namespace is still to be made by a ProjectRequest, which brings the rights."""
    # For a user of OpenShift this is also so of a project that is somebody else's: making it will
    # then be refused, with that reason.
    hidden = not namespaces.is_visible(api)
    return hidden and namespaces.way_to_make(api) == namespaces.REQUEST[1]


def _storage(api: Api) -> Seen:
    try:
        classes = api.list("storage.k8s.io/v1", "StorageClass")
    except Forbidden:
        return True, "not visible to this user: notebook 04 takes the default, if there is one"
    names = [str(one["metadata"]["name"]) for one in classes]
    marks = [(one["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) for one in classes]
    if "true" in marks:
        return True, names[marks.index("true")]
    if not names:
        return False, (
            "none at all: an administrator installs a storage driver; MongoDB needs a volume"
        )
    return False, (
        f"none of {', '.join(names)} is the default: an administrator runs kubectl annotate "
        f"storageclass {names[0]} {DEFAULT_CLASS}=true; or name one in notebook 04"
    )


def _gpu_rights(api: Api) -> Seen:
    """A note: who may not add nodes goes without, or finds those that the instructor has added."""
    if api.kind(*MACHINE_SET) is None:
        return True, "no MachineSets here: nodes are added outside of the cluster"
    lacks = permissions.lacking(api, machines.rights(api))
    return True, (
        f"this user may not add machines ({permissions.short(lacks)}): notebook 01 is the "
        "instructor's, as cluster-admin; to look at nodes and machines an attendee needs "
        f"oc adm policy add-cluster-role-to-user cluster-reader '{permissions.user(api)}'"
        if lacks
        else "this user may add machines"
    )


def _monitoring(api: Api) -> Seen:
    """A note: notebook 09 brings a Prometheus of its own, and this one stays."""
    try:
        found = api.get("v1", "ConfigMap", MONITORING, "openshift-monitoring")
    except Forbidden:
        return True, "whether user-workload monitoring is on is not visible to this user"
    config = yaml.safe_load(objects.content(found).get("config.yaml", "")) or {}
    if config.get("enableUserWorkload") is True:
        return True, "user-workload monitoring is on: oc apply -k manifests/monitoring/base"
    return True, (
        f"user-workload monitoring is off: an administrator sets enableUserWorkload: true in the "
        f"ConfigMap {MONITORING} of openshift-monitoring"
    )


NAMED = r"(?m)^[ -]*image: (\S+)$|^FROM (\S+)|newName: (\S+)\n +newTag: (\S+)"
"""How manifests, Containerfiles and a kustomization's replacements name an image."""


class Image(NamedTuple):
    """One image: which part pulls it, and its whole name with the tag."""

    part: str
    name: str


@functools.cache
def images() -> tuple[Image, ...]:
    """Every image that a deployment pulls, by part and name: for a mirror, and for the tests.

    What an operator brings by itself is not among them, nor the workbench's own, which an
    administrator builds; what that one is built from is.
    """
    found = {Image(llama_stack.NAME, name) for name in llama_stack.IMAGES.values()}
    found.add(Image("network", probes.IMAGE))
    for pattern in ("*.yaml", "Containerfile"):
        for path in objects.MANIFESTS.rglob(pattern):
            part = path.relative_to(objects.MANIFESTS).parts[0]
            for parts in re.findall(NAMED, path.read_text(encoding="utf-8")):
                found.add(Image(part, ":".join(filter(None, parts))))
    return tuple(sorted(one for one in found if f"/{MANAGER}:" not in one.name))
