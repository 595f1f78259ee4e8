"""MongoDB on a cluster: ``manifests/mongodb``, with its Secret and the size of its volume."""

from __future__ import annotations

from workshop.targets.base import Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, overlay

NAME = "mongodb"
USERS = "mongodb-users"


def plan(part: Part, api: Api) -> Plan:
    """Deployment, volume and Service; a Job makes the user that may only read."""
    user = str(part.settings["user"])
    built = objects.build(objects.MANIFESTS / part.name / overlay(api))
    built.append(
        objects.secret(
            NAME,
            part.name,
            {
                "username": user,
                "password": part.secrets["password"].reveal(),
                "reader-username": str(part.settings["reader"]),
                "reader-password": part.secrets["reader password"].reveal(),
                "monitor-username": str(part.settings["monitor"]),
                "monitor-password": part.secrets["monitor password"].reveal(),
            },
        )
    )
    objects.size(built, part.settings)
    digest = objects.digest(built)
    for kind in ("Deployment", "Job"):
        objects.mark(objects.one(built, kind), digest)
    return Plan(
        built,
        digest,
        deployment=NAME,
        pods={"app": NAME},
        service=NAME,
        port=part.port,
        scheme="mongodb",
        user=user,
        jobs=(USERS,),
        keeps=("one mongod holds the lock of its data: a replica set has more",),
    )
