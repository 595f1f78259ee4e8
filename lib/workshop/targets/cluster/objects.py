"""The kit's objects: their labels, their order, and how they are built from ``manifests/``."""

import base64
import copy
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from workshop.core.errors import SetupError
from workshop.core.settings import CHECKOUT
from workshop.targets.cluster.api import MANAGER, Object

MANIFESTS = CHECKOUT / "manifests"

MANAGED_BY = "app.kubernetes.io/managed-by"
COMPONENT = "app.kubernetes.io/component"
OURS = f"{MANAGED_BY}={MANAGER}"  # The label selector of all that the kit made.
DIGEST = "agent-workshop-kit/settings"
"""The annotation with the digest of all that a pod was made from, its credentials included. A pod
is made anew when it differs, and one with another digest is of an earlier deployment."""

FIRST = (
    *("Namespace", "ServiceAccount", "Secret", "ConfigMap", "PersistentVolumeClaim"),
    *("Role", "RoleBinding", "ServingRuntime"),
)
"""Kinds that others refer to. They are applied before the rest."""

OPERATED = (
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("llamastack.io/v1alpha1", "LlamaStackDistribution"),
    ("ogx.io/v1beta1", "OGXServer"),
)
"""The custom resources that operators turn into parts."""

PRUNED = (
    *(("v1", kind) for kind in ("Service", "ConfigMap", "Secret", "ServiceAccount")),
    *(("apps/v1", kind) for kind in ("Deployment", "StatefulSet")),
    ("batch/v1", "Job"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    *(("networking.k8s.io/v1", kind) for kind in ("Ingress", "NetworkPolicy")),
    *(("rbac.authorization.k8s.io/v1", kind) for kind in ("RoleBinding", "Role")),
    ("route.openshift.io/v1", "Route"),
    *OPERATED,
    ("serving.kserve.io/v1alpha1", "ServingRuntime"),
)
"""The kinds that the kit makes in a namespace, besides volumes: those it may also remove."""


def build(folder: Path) -> list[Object]:
    """The objects of a kustomization, as ``oc apply -k`` makes them."""
    return copy.deepcopy(_built(folder))


@functools.cache
def _built(folder: Path) -> list[Object]:
    done = subprocess.run(
        [kubectl(), "kustomize", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        # It asks no cluster; nothing of the user's login is handed to it.
        env={"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "/")},
    )
    if done.returncode:
        raise SetupError(
            "The manifests could not be built.",
            where=str(folder),
            state=done.stderr.strip()[-500:],
            hint="git checkout -- manifests",
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [*filter(None, yaml.load_all(done.stdout, loader))]


def kubectl() -> str:
    """Kubectl from PATH, or from the wheel that the kit depends on."""
    beside = Path(sys.executable).with_name("kubectl")
    found = shutil.which("kubectl") or (str(beside) if beside.exists() else None)
    if found is None:
        raise SetupError("There is no kubectl.", hint="make setup: it installs one beside the kit")
    return found


def labels(component: str) -> dict[str, str]:
    """What every object of a part carries."""
    return {
        "app.kubernetes.io/name": component,
        COMPONENT: component,
        "app.kubernetes.io/part-of": MANAGER,
        MANAGED_BY: MANAGER,
    }


def content(kept: Object | None) -> dict[str, str]:
    """The texts in a Secret, as it was got by its name, or in a ConfigMap; none in None."""
    data = (kept or {}).get("data") or {}
    if (kept or {}).get("kind") == "Secret":
        return {key: base64.b64decode(value).decode() for key, value in data.items()}
    return {key: str(value) for key, value in data.items()}


def made(api_version: str, kind: str, metadata: Mapping[str, Any], **more: Any) -> Object:
    """An object of this kind."""
    return {"apiVersion": api_version, "kind": kind, "metadata": dict(metadata), **more}


def secret(name: str, component: str, texts: Mapping[str, str]) -> Object:
    """A Secret with these texts."""
    meta = {"name": name, "labels": labels(component)}
    return made("v1", "Secret", meta, stringData=dict(texts))


def one(objects: Iterable[Object], kind: str, name: str = "") -> Object:
    """The only object of this kind, or the one of this name; an error where there is none."""
    for thing in objects:
        if thing["kind"] == kind and name in ("", thing["metadata"]["name"]):
            return thing
    what = f"The manifests have no {kind} {name}".strip() + "."
    raise SetupError(what, where=str(MANIFESTS), hint="git checkout -- manifests")


def container(workload: Object) -> Object:
    """The first container of a Deployment or Job."""
    first: Object = workload["spec"]["template"]["spec"]["containers"][0]
    return first


def set_variables(environment: list[Object], values: Mapping[str, str]) -> None:
    """Give these variables of a container's environment their values, in place of others."""
    environment[:] = [one for one in environment if one["name"] not in values]
    environment += [{"name": name, "value": value} for name, value in values.items()]


def digest(objects: Iterable[Object]) -> str:
    """Of all that these objects say, secrets included: they are random, so it tells none."""
    whole = json.dumps(list(objects), sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def mark(workload: Object, value: str) -> None:
    """Write the digest where pods of this Deployment or Job carry it."""
    template = workload["spec"]["template"]
    template.setdefault("metadata", {}).setdefault("annotations", {})[DIGEST] = value


def is_owned(thing: Mapping[str, Any], uid: str = "") -> bool:
    """Whether another object made it (this one, if ``uid`` is given): it goes with that one."""
    owners = thing["metadata"].get("ownerReferences") or []
    return any(uid in ("", owner.get("uid")) for owner in owners)


def labels_of(thing: Mapping[str, Any] | None) -> dict[str, str]:
    """An object's labels; none where there is no object."""
    found: dict[str, str] = ((thing or {}).get("metadata") or {}).get("labels") or {}
    return found


def is_ours(thing: Mapping[str, Any]) -> bool:
    """Whether the kit made it, from whichever namespace."""
    return labels_of(thing).get(MANAGED_BY) == MANAGER


def conditions(thing: Mapping[str, Any]) -> list[Object]:
    """What its controller says of an object."""
    return (thing.get("status") or {}).get("conditions") or []


def condition(thing: Mapping[str, Any], word: str, status: str = "True") -> Object | None:
    """The condition of this type, if it has this status."""
    found = (o for o in conditions(thing) if (o["type"], o.get("status")) == (word, status))
    return next(found, None)


def is_ready(thing: Mapping[str, Any]) -> bool:
    """Whether a pod takes requests, a node takes pods, a resource's controller is done."""
    return condition(thing, "Ready") is not None


def key(thing: Mapping[str, Any]) -> tuple[str, str]:
    """Kind and name."""
    return str(thing["kind"]), str(thing["metadata"]["name"])


def size(built: Iterable[Object], settings: Mapping[str, Any]) -> None:
    """Give the volume claims the size and the class that the user chose."""
    for claim in (thing for thing in built if thing["kind"] == "PersistentVolumeClaim"):
        if settings.get("storage_size"):
            claim["spec"]["resources"]["requests"]["storage"] = str(settings["storage_size"])
        if settings.get("storage_class"):
            claim["spec"]["storageClassName"] = str(settings["storage_class"])
