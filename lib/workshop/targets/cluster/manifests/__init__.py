"""What each part is on a cluster: which manifests, filled with what, and how it is reached.

One module a part, of the part's name. A recipe turns a part's settings, secrets and needs into
objects; it asks the cluster only which kinds it knows. Credentials go into Secrets, nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from workshop.targets.base import Part, Scale
from workshop.targets.cluster.api import Api, Object
from workshop.targets.spec import module_of

ONE = Scale()
"""What a part begins with."""

ROUTE = ("route.openshift.io/v1", "Route")


@dataclass(frozen=True)
class Resource:
    """A custom resource whose operator brings the part up."""

    api_version: str
    kind: str
    name: str


@dataclass(frozen=True)
class Plan:
    """A part on this cluster.

    Args:
        objects: Everything to apply.
        digest: Of all settings and credentials; its pods carry it.
        deployment: The Deployment that runs it, made by the kit or by an operator.
        pods: The labels by which its pods are found.
        service: Its Service.
        port: The Service's and the pods' port.
        scheme: ``http``, ``https``, ``mongodb`` or ``postgresql``.
        also: Further ports by name.
        user: Of a database.
        resource: The custom resource that an operator turns into the Deployment, if there is one.
        jobs: Jobs that must have succeeded.
        token: Where the credential is when the cluster makes it: a Secret's name and key.
        ca: The ConfigMap and key with the CA of its certificate.
        route: The Route by which it is reached from outside; "" when there is none.
        ingress: The Ingress, on clusters without Routes; "" when there is none.
        members: Whether it is a StatefulSet of that name, and no Deployment.
        keeps: What each replica would keep to itself, so that there can be one alone.
        scale: How much of it runs.
    """

    objects: list[Object]
    digest: str
    deployment: str
    pods: Mapping[str, str]
    service: str
    port: int
    scheme: str = "http"
    also: Mapping[str, int] = field(default_factory=dict)
    user: str = ""
    resource: Resource | None = None
    jobs: tuple[str, ...] = ()
    token: tuple[str, str] | None = None
    ca: tuple[str, str] | None = None
    route: str = ""
    ingress: str = ""
    members: bool = False
    keeps: tuple[str, ...] = ()
    scale: Scale = ONE


Recipe = Callable[[Part, Api], Plan]
"""Takes a part and the cluster; says what to apply."""


def plan(part: Part, api: Api, recipes: Mapping[str, Recipe] | None = None) -> Plan:
    """What this part is on this cluster: by ``plan`` of the module of its name.

    Args:
        part: The part.
        api: The cluster.
        recipes: Others than the kit's, by part name.

    Raises:
        SettingsError: There is no recipe for the part, or its settings do not fit the cluster.
    """
    recipe: Recipe | None = (recipes or {}).get(part.name)
    if recipe is None:
        lacking = f"The cluster target has no recipe for {part.name}."
        recipe = module_of(part.name, __name__, lacking).plan
    return recipe(part, api)


def is_openshift(api: Api) -> bool:
    """Whether the cluster has OpenShift's Routes, and with them its other additions."""
    return api.kind(*ROUTE) is not None


def overlay(api: Api) -> str:
    """The overlay for this cluster: OpenShift gives pods their user, others must be told."""
    return "base" if is_openshift(api) else "overlays/kubernetes"
