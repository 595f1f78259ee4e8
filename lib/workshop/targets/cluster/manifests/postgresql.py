"""PostgreSQL on a cluster: ``manifests/postgresql``, with its Secret and the size of its volume."""

from __future__ import annotations

from workshop.targets.base import Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, overlay

NAME = "postgresql"


def plan(part: Part, api: Api) -> Plan:
    """Deployment, volume and Service."""
    user = str(part.settings["user"])
    built = objects.build(objects.MANIFESTS / part.name / overlay(api))
    content = {
        "username": user,
        "password": part.secrets["password"].reveal(),
        "database": str(part.settings["database"]),
    }
    built.append(objects.secret(NAME, part.name, content))
    objects.size(built, part.settings)
    digest = objects.digest(built)
    objects.mark(objects.one(built, "Deployment"), digest)
    return Plan(
        built,
        digest,
        deployment=NAME,
        pods={"app": NAME},
        service=NAME,
        port=part.port,
        scheme="postgresql",
        user=user,
        keeps=("one server holds the lock of its data",),
    )
