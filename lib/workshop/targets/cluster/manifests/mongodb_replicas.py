"""MongoDB as a replica set: ``manifests/mongodb-replicas``, with Secret and size of volumes."""

from workshop.targets.base import Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, as_it_is, built
from workshop.targets.cluster.manifests.mongodb import users


def plan(part: Part, api: Api) -> Plan:
    """StatefulSet, its Service and budget; a Job makes a set of the members."""
    texts = users(part) | {"keyfile": part.secrets["key"].reveal()}
    made = built(part, api)
    for claim in objects.one(made, "StatefulSet")["spec"]["volumeClaimTemplates"]:
        objects.size([{"kind": "PersistentVolumeClaim", **claim}], part.settings)
    return as_it_is(
        made,
        part,
        texts=texts,
        scheme="mongodb",
        user=texts["username"],
        jobs=("mongodb-replicas-initiate",),
        workload="StatefulSet",
        keeps=("it has three members, which the replica set names",),
    )
