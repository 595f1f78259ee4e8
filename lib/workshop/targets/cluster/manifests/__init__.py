"""What each part is on a cluster: which manifests, filled with what, and how it is reached.

A part whose YAML has more to fill in than credentials has a module of its name. A planner turns a
part's settings, secrets and needs into objects; it asks the cluster only which kinds it knows.
Credentials go into Secrets, nowhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from workshop.core.errors import SettingsError
from workshop.targets.base import Part, Scale
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api, Object
from workshop.targets.spec import module_of

ROUTE = ("route.openshift.io/v1", "Route")
WORKLOADS = ("Deployment", "StatefulSet", "Job")
USER = 65532  # Of pods on clusters that give them none, as in manifests/components/kubernetes-user.


class Resource(NamedTuple):
    """A custom resource whose operator brings the part up."""

    api_version: str
    kind: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Address:
    """What runs a part on this cluster, and how it is reached there."""

    deployment: str  # The name of what runs it, made by the kit or by an operator.
    pods: Mapping[str, str]  # The labels by which its pods are found.
    service: str
    port: int  # The Service's and the pods'.
    scheme: str = "http"  # Or ``https``, ``mongodb``, ``postgresql``.
    also: Mapping[str, int] = field(default_factory=dict)  # Further ports by name.
    user: str = ""  # Of a database.
    # Where the credential is when the cluster makes it: a Secret's name and key.
    token: tuple[str, str] | None = None
    ca: tuple[str, str] | None = None  # The ConfigMap and key with the CA of its certificate.
    # The Route or the Ingress by which it is reached from outside, or "".
    route: str = ""
    ingress: str = ""


@dataclass(frozen=True)
class Plan(Address):
    """A part on this cluster."""

    objects: list[Object]  # Everything to apply.
    digest: str  # Of all settings and credentials; its pods carry it.
    resource: Resource | None = None  # What an operator turns into the Deployment.
    jobs: tuple[str, ...] = ()  # Those that must have succeeded.
    workload: str = "Deployment"  # The kind of what runs it, or ``StatefulSet``.
    keeps: tuple[str, ...] = ()  # What each replica would keep to itself: there can be one alone.
    scale: Scale = field(default_factory=Scale)


Planner = Callable[[Part, Api], Plan]  # Takes a part and the cluster; says what to apply.


def planner_of(part: str) -> Planner:
    """The module of a part's name, or else its folder; ``SettingsError`` where there is neither."""
    planner: Planner = _as_built
    try:
        planner = module_of(part, __name__, f"The cluster target has no manifests for {part}.").plan
    except SettingsError:
        if not (objects.MANIFESTS / part / "base").is_dir():
            raise
    return planner


def _as_built(part: Part, api: Api) -> Plan:
    """Its objects unchanged, and a Secret with its credentials, if it has any."""
    texts = {name: secret.reveal() for name, secret in part.secrets.items()}
    return as_it_is(built(part, api), part, texts=texts or None)


def is_openshift(api: Api) -> bool:
    """Whether the cluster has OpenShift's Routes, and with them its other additions."""
    return api.kind(*ROUTE) is not None


def built(part: Part, api: Api) -> list[Object]:
    """A part's manifests for this cluster: OpenShift gives pods their user, others are told."""
    folder = "base" if is_openshift(api) else "overlays/kubernetes"
    return objects.build(objects.MANIFESTS / part.name / folder)


def as_it_is(
    made: list[Object], part: Part, *, name: str = "", texts: Object | None = None, **more: Any
) -> Plan:
    """The plan for these objects, all of this name, and for a Secret with these texts.

    Their volumes get the size that the user chose, and their workloads the digest.
    """
    name = name or part.name
    if texts is not None:
        made.append(objects.secret(name, part.name, texts))
    objects.size(made, part.settings)
    digest = objects.digest(made)
    for thing in made:
        if thing["kind"] in WORKLOADS:
            objects.mark(thing, digest)
    pods = {"app": name}
    return Plan(made, digest, deployment=name, pods=pods, service=name, port=part.port, **more)
