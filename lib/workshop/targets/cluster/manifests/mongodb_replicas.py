"""MongoDB as a replica set: ``manifests/mongodb-replicas``, with Secret and size of volumes."""

from __future__ import annotations

from workshop.targets.base import Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, overlay

NAME = "mongodb-replicas"
INITIATE = "mongodb-replicas-initiate"


def plan(part: Part, api: Api) -> Plan:
    """StatefulSet, its Service and budget; a Job makes a set of the members."""
    user = str(part.settings["user"])
    built = objects.build(objects.MANIFESTS / part.name / overlay(api))
    content = {
        "username": user,
        "password": part.secrets["password"].reveal(),
        "reader-username": str(part.settings["reader"]),
        "reader-password": part.secrets["reader password"].reveal(),
        "keyfile": part.secrets["key"].reveal(),
    }
    built.append(objects.secret(NAME, part.name, content))
    members = objects.one(built, "StatefulSet")
    for claim in members["spec"]["volumeClaimTemplates"]:
        objects.size([{"kind": "PersistentVolumeClaim", **claim}], part.settings)
    digest = objects.digest(built)
    for workload in (members, objects.one(built, "Job")):
        objects.mark(workload, digest)
    return Plan(
        built,
        digest,
        deployment=NAME,
        pods={"app": NAME},
        service=NAME,
        port=part.port,
        scheme="mongodb",
        user=user,
        jobs=(INITIATE,),
        members=True,
        keeps=("it has three members, which the replica set names",),
    )
