"""PostgreSQL on a cluster: ``manifests/postgresql``, with its Secret and volume size."""

from workshop.targets.base import Part
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, as_it_is, built


def plan(part: Part, api: Api) -> Plan:
    """Deployment, volume and Service."""
    texts = {
        "username": str(part.settings["user"]),
        "password": part.secrets["password"].reveal(),
        "database": str(part.settings["database"]),
    }
    return as_it_is(
        built(part, api),
        part,
        texts=texts,
        scheme="postgresql",
        user=texts["username"],
        keeps=("one server holds the lock of its data",),
    )
