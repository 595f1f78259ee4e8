"""Llama Stack on PostgreSQL: nothing is kept inside a pod, so that there can be several.

Source of the names: ``llama_stack/core/storage/datatypes.py`` and
``providers/remote/vector_io/pgvector/config.py`` of llama-stack 0.7.3; OGX 1.5.0 has the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workshop.cluster.transport import Object
from workshop.target import Endpoint

CLAIM = "llama-stack-data"
STORE = "pgvector"

CONNECTION = {
    "host": "${env.POSTGRES_HOST}",
    "port": "${env.POSTGRES_PORT}",
    "db": "${env.POSTGRES_DB}",
    "user": "${env.POSTGRES_USER}",
    "password": "${env.POSTGRES_PASSWORD}",
}

LEAVING = {"preStop": {"sleep": {"seconds": 5}}}
"""A pod that ends goes on for a moment: until then Services still lead requests to it."""

PATIENCE = 120
"""Seconds that a pod has to answer what it was asked before it ends."""


def variables(database: Endpoint) -> dict[str, str]:
    """The environment of the server, but for the password."""
    host, _, port = database.peer_url.partition("://")[2].rpartition(":")
    return {
        "POSTGRES_HOST": host,
        "POSTGRES_PORT": port,
        "POSTGRES_DB": database.user,
        "POSTGRES_USER": database.user,
    }


def configure(config: dict[str, Any]) -> None:
    """Put PostgreSQL in place of SQLite, and pgvector in place of FAISS."""
    config["storage"]["backends"] = {
        "kv_default": {"type": "kv_postgres", **CONNECTION},
        "sql_default": {"type": "sql_postgres", **CONNECTION},
    }
    config["providers"]["vector_io"] = [
        {
            "provider_id": STORE,
            "provider_type": "remote::pgvector",
            "config": {
                **CONNECTION,
                "persistence": {"namespace": "vector_io::pgvector", "backend": "kv_default"},
            },
        }
    ]
    config["vector_stores"]["default_provider_id"] = STORE


def without_volume(built: list[Object]) -> list[Object]:
    """The objects with a folder that goes with the pod in place of the volume.

    The claim of before is left alone: it goes with clean-up, when data shall go.
    """
    for thing in built:
        if thing["kind"] == "LlamaStackDistribution":
            thing["spec"]["server"].pop("storage", None)
        elif thing["kind"] == "OGXServer":
            thing["spec"]["workload"].pop("storage", None)
        elif thing["kind"] == "Deployment":
            pod = thing["spec"]["template"]["spec"]
            _without_claim(pod["volumes"])
            pod["terminationGracePeriodSeconds"] = PATIENCE
            pod["containers"][0]["lifecycle"] = LEAVING
    return [thing for thing in built if thing["kind"] != "PersistentVolumeClaim"]


def _without_claim(volumes: list[Mapping[str, Any]]) -> None:
    for number, volume in enumerate(volumes):
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == CLAIM:
            volumes[number] = {"name": volume["name"], "emptyDir": {"sizeLimit": "1Gi"}}
