"""What a prepared namespace holds: pure functions from an attendee's number to objects.

All of it carries a manager of its own, not the kit's: notebook 99 removes what the kit made, and an
attendee who cleans up must keep their access.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workshop.core.errors import SettingsError
from workshop.core.secret import Secret
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Object
from workshop.targets.cluster.permissions import RBAC
from workshop.targets.cluster.store import OFFER

ROOM = "agent-workshop-kit/room"  # The label with the prefix. What lacks it is never touched.
WORKBENCH = "workshop"  # Its ServiceAccount has its name: OpenShift AI gives it no other.
V1 = f"{RBAC}/v1"

KINDS = (
    *(("v1", "ResourceQuota"), ("v1", "LimitRange"), (V1, "RoleBinding"), ("v1", "ConfigMap")),
    ("v1", "Secret"),
)
"""What is put into each namespace, in this order. Notebooks tell the ConfigMap how far they are.
The Secret is there with a shared model alone."""

CLUSTER_KINDS = ((V1, "ClusterRoleBinding"), (V1, "ClusterRole"))
"""What a room has outside of its namespaces, in the order in which it is removed."""

SEEN = {
    "": ("nodes",),
    "machine.openshift.io": ("machinesets", "machines"),
    "nvidia.com": ("clusterpolicies",),
    "config.openshift.io": ("clusterversions", "infrastructures"),
}
"""What attendees may look at outside of their namespace, by API group: steps 0 to 2 read it."""

ROLE = "admin"  # ``edit`` would not do: a model's token needs a Role.
SHARED = {
    "requests.cpu": "4",
    "requests.memory": "16Gi",
    "limits.cpu": "40",
    "limits.memory": "32Gi",
    "requests.nvidia.com/gpu": "0",
    "requests.storage": "60Gi",
    "persistentvolumeclaims": "6",
    "pods": "40",
    "services.loadbalancers": "0",
    "services.nodeports": "0",
}
"""The quota where the model is shared: the pods of ``manifests/`` without it, one more of each that
is replaced while it runs, two of each that can be scaled out, the pods that try the network, and a
workbench of 2 CPUs and 8 GiB. No replica set of MongoDB: its volumes are as large as all the rest.
Written as the API server writes quantities, so that they compare equal."""

OWN = SHARED | {
    "requests.cpu": "8",
    "requests.memory": "32Gi",
    "limits.cpu": "52",
    "limits.memory": "64Gi",
    "requests.nvidia.com/gpu": "1",
}
"""The quota where each attendee serves a model: on one GPU, or on the CPU."""

DEFAULTS = [
    {
        "type": "Container",
        "default": {"cpu": "1", "memory": "1Gi"},
        "defaultRequest": {"cpu": "50m", "memory": "128Mi"},
    },
    {"type": "PersistentVolumeClaim", "max": {"storage": "50Gi"}},
]
"""For containers that name no resources, as those that an operator adds: a quota refuses them."""


@dataclass(frozen=True)
class SharedModel:
    """One model endpoint for the whole room, as the notebooks and Llama Stack's pods reach it.

    ``url`` is the address before ``/v1``; ``name`` is "" when it has only one; ``ca`` is PEM text.
    """

    url: str
    name: str = ""
    token: Secret | None = None
    ca: str = ""

    def data(self) -> dict[str, str]:
        """As it is in a Secret; what there is not has no key."""
        token = self.token.reveal() if self.token else ""
        texts = {"url": self.url, "name": self.name, "token": token, "ca": self.ca}
        return {k: base64.b64encode(text.encode()).decode() for k, text in texts.items() if text}


@dataclass(frozen=True)
class Room:
    """Namespaces ``prefix-1``, ``prefix-2``, ... of as many users: ``user1``, ``user2``, ...

    On OpenShift they are projects. ``model`` is the one that all of them share, if there is one.
    """

    attendees: int
    prefix: str = "attendee"
    user_prefix: str = "user"
    openshift: bool = False
    model: SharedModel | None = None

    @property
    def numbers(self) -> range:
        """Of the attendees."""
        return range(1, self.attendees + 1)

    @property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        """What each namespace holds."""
        return KINDS if self.model else KINDS[:-1]

    def namespace(self, number: int) -> str:
        """An attendee's namespace."""
        return f"{self.prefix}-{number}"

    def user(self, number: int) -> str:
        """An attendee's user."""
        return f"{self.user_prefix}{number}"

    def number(self, namespace: str) -> int | None:
        """Whose namespace it is by its name, or None."""
        found = re.fullmatch(rf"{re.escape(self.prefix)}-([1-9]\d*)", namespace)
        return int(found.group(1)) if found else None

    def build(self, kind: str, number: int) -> Object:
        """One object for one attendee, as it should be."""
        namespace = self.namespace(number)
        if kind == "Namespace":
            return self._namespace(namespace, number)
        content: dict[str, Object] = {
            "ResourceQuota": {"spec": {"hard": SHARED if self.model else OWN}},
            "LimitRange": {"spec": {"limits": DEFAULTS}},
            "ConfigMap": {},
            "RoleBinding": {"roleRef": _reference(ROLE), "subjects": self._subjects(number)},
            "Secret": {"type": "Opaque", "data": self.model.data() if self.model else {}},
        }
        meta = {"name": OFFER, "namespace": namespace, "labels": self._labels()}
        api_version = next(version for version, known in KINDS if known == kind)
        return objects.made(api_version, kind, meta, **content[kind])

    def shared(self, numbers: Iterable[int]) -> list[Object]:
        """What lets these attendees look at the cluster, and change nothing of it."""
        name = f"{OFFER}-{self.prefix}"
        meta = {"name": name, "labels": self._labels()}
        rules = [
            {"apiGroups": [group], "resources": list(resources), "verbs": ["get", "list"]}
            for group, resources in SEEN.items()
        ]
        subjects = [one for number in numbers for one in self._subjects(number)]
        return [
            objects.made(V1, "ClusterRole", meta, rules=rules),
            objects.made(
                V1, "ClusterRoleBinding", meta, roleRef=_reference(name), subjects=subjects
            ),
        ]

    def _namespace(self, name: str, number: int) -> Object:
        user = self.user(number)
        level = "pod-security.kubernetes.io"
        labels = {f"{level}/warn": "restricted", f"{level}/audit": "restricted"}
        meta: Object = {"name": name}
        if self.openshift:
            # Its security context constraints admit the pods. The level is not enforced besides:
            # the Llama Stack operator lets its pod run under "anyuid", which restricted refuses.
            labels["opendatahub.io/dashboard"] = "true"
            meta["annotations"] = {
                "openshift.io/display-name": f"Agent workshop of {user}",
                "openshift.io/description": "One attendee's place in an agent workshop",
                "openshift.io/requester": user,
            }
        else:
            labels[f"{level}/enforce"] = "restricted"
        return objects.made("v1", "Namespace", meta | {"labels": self._labels() | labels})

    def _labels(self) -> dict[str, str]:
        return objects.labels("room") | {objects.MANAGED_BY: OFFER, ROOM: self.prefix}

    def _subjects(self, number: int) -> list[Object]:
        """The attendee, and the workbench in which the notebooks run."""
        namespace = self.namespace(number)
        return [
            {"kind": "User", "apiGroup": RBAC, "name": self.user(number)},
            {"kind": "ServiceAccount", "name": WORKBENCH, "namespace": namespace},
        ]


def checked(room: Room) -> Room:
    """The room, if its names can be names; refused with all that cannot be used, at once."""
    problems = []
    if room.attendees < 0:
        problems.append(f"--attendees {room.attendees} is below 0")
    longest = room.namespace(max(room.attendees, 999))
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", longest):
        problems.append(
            f"--prefix {room.prefix!r}: small letters, digits and dashes, 63 with the number"
        )
    if room.prefix.startswith(("openshift", "kube")):
        problems.append(f"--prefix {room.prefix!r} is the cluster's own")
    if not re.fullmatch(r"[\w.@+-]+", room.user_prefix):
        problems.append(f"--user-prefix {room.user_prefix!r} cannot start a user's name")
    if problems:
        raise SettingsError("The room cannot be prepared like this.", state="; ".join(problems))
    return room


def is_right(wanted: Object, found: Object) -> bool:
    """Whether all that is wanted of an object is so. What the cluster has added does not count.

    Lists must be equally long: one subject more is one too many, and so is one key of a Secret.
    Kind and version are those by which it was listed.
    """
    content = {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind")}
    same_keys = "data" not in content or set(content["data"]) == set(found.get("data") or {})
    return same_keys and _within(content, found)


def _within(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            _within(value, found.get(key)) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        same = isinstance(found, list) and len(wanted) == len(found)
        return same and all(map(_within, wanted, found))
    return bool(wanted == found)


def _reference(role: str) -> Object:
    return {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}
