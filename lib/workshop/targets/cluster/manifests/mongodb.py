"""MongoDB on a cluster: ``manifests/mongodb``, with its Secret and the size of its volume."""

from workshop.targets.base import Part
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, as_it_is, built


def plan(part: Part, api: Api) -> Plan:
    """Deployment, volume and Service; a Job makes the user that may only read."""
    texts = users(part) | {
        "monitor-username": str(part.settings["monitor"]),
        "monitor-password": part.secrets["monitor password"].reveal(),
    }
    return as_it_is(
        built(part, api),
        part,
        texts=texts,
        scheme="mongodb",
        user=texts["username"],
        jobs=("mongodb-users",),
        keeps=("one mongod holds the lock of its data: a replica set has more",),
    )


def users(part: Part) -> dict[str, str]:
    """The logins of the owner of MongoDB, and of who may only read."""
    return {
        "username": str(part.settings["user"]),
        "password": part.secrets["password"].reveal(),
        "reader-username": str(part.settings["reader"]),
        "reader-password": part.secrets["reader password"].reveal(),
    }
