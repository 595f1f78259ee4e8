"""MongoDB: the data that the agent asks about."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workshop import choices
from workshop.checks import Checks
from workshop.errors import EndpointError, SettingsError
from workshop.masked import Secret
from workshop.mongodb_login import DATABASE as DATABASE
from workshop.mongodb_login import change_password as change_password
from workshop.mongodb_login import connected as connected
from workshop.mongodb_login import make_first_user
from workshop.progress import stages
from workshop.settings import DATA
from workshop.table import Table
from workshop.target import Deployed, Endpoint, Part, Target
from workshop.wait import NotYet

PART = "mongodb"
PORT = 27017
USER, READER, MONITOR = "workshop", "workshop-reader", "workshop-monitor"
CREDENTIAL, READER_CREDENTIAL = "mongodb password", "mongodb reader password"
MONITOR_CREDENTIAL = "mongodb monitor password"
STORAGE = "20Gi"
"""Of the database's volume on a cluster."""
REPLICAS, MOVED = "mongodb-replicas", "mongodb moved to"
"""The part that is a replica set, and the fact that says that it has the documents now."""
IDS = {"services": "name", "incidents": "incident_id", "alerts": "alert_id"}
"""The collections, and the field of each that becomes its documents' ``_id``."""


@dataclass(frozen=True)
class Loaded:
    """What loading changed in one collection, counted in documents."""

    collection: str
    inserted: int
    restored: int
    unchanged: int
    yours: int


def deploy_mongodb(
    target: Target,
    *,
    storage_size: str = STORAGE,
    storage_class: str = "",
    timeout: float = 120.0,
) -> Deployed:
    """Run the database, with a user and a generated password.

    Args:
        target: Where.
        storage_size: On a cluster, of its volume.
        storage_class: On a cluster, of its volume; "" takes the default class.
        timeout: Seconds until it must answer.

    Raises:
        PartFailed: It ended while it started.
        PartTooSlow: It was not ready in time.
    """
    with stages("MongoDB") as stage:
        if target.recall(MOVED):
            from workshop import mongodb_replicas

            stage("the documents are in the replica set, as 10_scale_out has moved them")
            part = mongodb_replicas.part_of(target)
            return target.ensure(part, ready=ready, timeout=timeout, stage=stage)
        part = part_of(target, storage_size, storage_class)
        choices.keep(target, PART, storage_size=storage_size, storage_class=storage_class)
        return target.ensure(part, ready=ready, timeout=timeout, stage=stage)


def find(target: Target) -> Endpoint:
    """The database that has the documents: the single server, or a replica set's primary.

    Raises:
        StepMissing: It was not deployed, or it ended since.
    """
    if target.recall(MOVED) is None:
        return target.find(PART)
    from workshop import mongodb_replicas

    return mongodb_replicas.primary(target)


def deployed_part(target: Target) -> Part:
    """What the database was deployed as last."""
    return part_of(target, **choices.of(target, PART))


def part_of(target: Target, storage_size: str = STORAGE, storage_class: str = "") -> Part:
    """What the database must be."""
    return Part(
        PART,
        PORT,
        settings={
            "scheme": "mongodb",
            "user": USER,
            "reader": READER,
            "monitor": MONITOR,
            "storage_size": storage_size,
            "storage_class": storage_class,
        },
        secrets={
            "password": target.secret(CREDENTIAL, lambda: secrets.token_urlsafe(24)),
            "reader password": reader_password(target),
            "monitor password": monitor_password(target),
        },
        extra_ports={"metrics": 28017},
        credential=CREDENTIAL,
    )


def reader_password(target: Target) -> Secret:
    """Of the user that may only read, where the database has roles."""
    return target.secret(READER_CREDENTIAL, lambda: secrets.token_urlsafe(24))


def monitor_password(target: Target) -> Secret:
    """Of the user that may only read the server's status, where the database has roles."""
    return target.secret(MONITOR_CREDENTIAL, lambda: secrets.token_urlsafe(24))


def load_sample_data(target: Target, data: Path = DATA) -> Table[Loaded]:
    """Bring the kit's documents into the database, each under an ``_id`` of its own.

    Running it again changes nothing. A document of the kit that somebody edited is restored; one
    that somebody added is kept.

    Raises:
        StepMissing: The database does not run.
        SettingsError: A file cannot be read as documents.
    """
    from pymongo import ReplaceOne

    with stages("Sample data") as stage, connected(find(target)) as database:
        loaded: Table[Loaded] = Table()
        for collection, key in IDS.items():
            documents = read_documents(data / f"{collection}.json", key)
            ids = [document["_id"] for document in documents]
            result = database[collection].bulk_write(
                [ReplaceOne({"_id": d["_id"]}, d, upsert=True) for d in documents]
            )
            total = database[collection].count_documents({})
            loaded.append(
                Loaded(
                    collection,
                    inserted=result.upserted_count,
                    restored=result.modified_count,
                    unchanged=len(ids) - result.upserted_count - result.modified_count,
                    yours=total - len(ids),
                )
            )
            stage(f"{collection}: {result.upserted_count} inserted, {total} there now")
        return loaded


def verify_mongodb(target: Target, data: Path = DATA) -> Checks:
    """Prove that the documents are there, that a known one is right, and that a password is needed.

    Raises:
        CheckFailed: One of these is not so.
        StepMissing: The database does not run.
    """
    endpoint = find(target)
    checks = Checks("MongoDB")
    with connected(endpoint) as database:
        for collection, key in IDS.items():
            ids = [d["_id"] for d in read_documents(data / f"{collection}.json", key)]
            checks.equal(
                f"has the {collection}",
                len(ids),
                lambda name=collection, ids=ids: database[name].count_documents(  # type: ignore[misc]
                    {"_id": {"$in": ids}}
                ),
                hint="run 04_deploy_mongodb again: it loads what is missing",
            )
        known = read_documents(data / "incidents.json", IDS["incidents"])[0]
        checks.equal(
            f"has {known['_id']} as it was written",
            known["title"],
            lambda: str((database.incidents.find_one({"_id": known["_id"]}) or {}).get("title")),
        )
        checks.equal(
            "loading twice changes nothing",
            "0 inserted, 0 restored",
            lambda: _changes(load_sample_data(target, data)),
        )
    checks.that(
        "refuses without a password",
        "refused",
        lambda: refusal(endpoint),
        lambda seen: seen.startswith("refused"),
    )
    return checks.raise_if_failed()


def read_documents(path: Path, key: str) -> list[dict[str, Any]]:
    """The documents of one file, with ``_id`` first.

    Raises:
        SettingsError: The file is missing, is not JSON, or a document has no ``key``.
    """
    try:
        return [{"_id": d[key], **d} for d in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            "The sample data cannot be read.",
            where=str(path),
            state=f"{type(error).__name__}: {error}",
            hint="each file is a list of documents with a unique " + key,
        ) from error


def ready(endpoint: Endpoint, before: Secret | None = None) -> object:
    """Authenticated, because a server that only answers a ping may still be setting up its user."""
    try:
        with connected(endpoint) as database:
            database.list_collection_names()
    except EndpointError as error:
        if error.kind == "unauthorized" and make_first_user(endpoint):
            return NotYet("making the first user")
        if error.kind == "unauthorized" and before and endpoint.password:
            change_password(endpoint, before, endpoint.password)
            return NotYet("its password is changed")
        if error.kind == "unauthorized":
            raise
        return NotYet(error.state)
    return True


def refusal(endpoint: Endpoint) -> str:
    """What it says to who has no password."""
    try:
        with connected(endpoint, authorize=False) as database:
            return f"let in: {database.list_collection_names()}"
    except EndpointError as error:
        # pymongo adds the server's whole reply, which says the same once more.
        said = error.state.partition(", full error")[0]
        return f"refused: {said}" if error.kind == "unauthorized" else error.what


def _changes(loaded: list[Loaded]) -> str:
    inserted, restored = (
        sum(getattr(one, key) for one in loaded) for key in ("inserted", "restored")
    )
    return f"{inserted} inserted, {restored} restored"
