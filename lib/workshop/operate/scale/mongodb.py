"""MongoDB with other limits, and as a replica set of three.

A replica set needs a real mongod. FerretDB, which stands in where there is none, has no replica
sets: it is asked, and what it says is the reason why nothing is migrated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import batched
from typing import Any

from workshop.core.errors import PartFailed, StepMissing
from workshop.core.progress import Stages, stages
from workshop.core.table import Table
from workshop.parts import mcp_server, mongodb
from workshop.targets.base import Endpoint, Scale, Target

Fingerprint = tuple[int, str]
"""A collection's number of documents, and a digest of all that they say."""

NO_REPLICATION = 76
"""NoReplicationEnabled: what a mongod says that runs alone, and could be one of a set."""

BATCH = 500  # Documents that are copied at a time.


@dataclass(frozen=True)
class Kept:
    """A collection before and after a change, in documents, and whether all say the same."""

    collection: str
    before: int
    after: int
    same: bool


def resize_mongodb(
    target: Target, *, cpu: str = "", memory: str = "", timeout: float = 120.0
) -> Table[Kept]:
    """Restart the database with other limits, and compare its documents before and after.

    Args:
        target: Where. On one machine a process has no limits, and is started again all the same.
        cpu: The limit in cores, such as ``2``; "" leaves it as it is.
        memory: The limit, such as ``1Gi``; "" leaves it as it is.
        timeout: Seconds until it must answer.

    Returns:
        A row a collection; none where there is no database.

    Raises:
        PartFailed: It ended with these limits; with larger ones it goes on from its data.
    """
    with stages("MongoDB") as stage:
        try:
            before = fingerprints(target.find(mongodb.PART))
        except StepMissing as missing:
            stage(f"skipped: {missing.what}")
            return Table()
        part, scale = mongodb.deployed_part(target), Scale(cpu=cpu, memory=memory)
        target.scaling.scale(part, scale, ready=mongodb.ready, timeout=timeout, stage=stage)
        return compared(before, fingerprints(target.find(mongodb.PART)))


def fingerprints(endpoint: Endpoint) -> dict[str, Fingerprint]:
    """Of each collection of the kit's database."""
    from bson import encode

    found = {}
    with mongodb.connected(endpoint) as database:
        for name in sorted(database.list_collection_names()):
            digests = sorted(hashlib.sha256(encode(one)).digest() for one in database[name].find())
            found[name] = (len(digests), hashlib.sha256(b"".join(digests)).hexdigest()[:12])
    return found


def compared(before: Mapping[str, Fingerprint], after: Mapping[str, Fingerprint]) -> Table[Kept]:
    """A row a collection."""
    none = (0, "")
    return Table(
        Kept(name, before.get(name, none)[0], after.get(name, none)[0], same)
        for name in sorted({*before, *after})
        for same in [before.get(name) == after.get(name)]
    )


def replica_set_reason(endpoint: Endpoint) -> str | None:
    """Why this server cannot become a replica set, or None when it can: it is asked."""
    from pymongo.errors import OperationFailure

    with mongodb.connected(endpoint) as database:
        admin = database.client.admin
        if name := admin.command("hello").get("setName"):
            return f"it is the replica set {name} already"
        try:
            admin.command("replSetGetStatus")
            said = "it has a status, and no name"
        except OperationFailure as error:
            if error.code == NO_REPLICATION:
                return None
            said = str(error).partition(", full error")[0]
    return f"this server has no replica sets: {said}"


def migrate_mongodb(
    target: Target, *, wanted: bool = True, remove_old: bool = False, timeout: float = 600.0
) -> Table[Kept]:
    """Move every document from the single server to a replica set, which all parts then use.

    Run again, it goes on where it stopped. The old server's volume is kept, until clean-up with
    its data or ``remove_old``.

    Args:
        target: Where.
        wanted: False says what would be done, and changes nothing.
        remove_old: Take the old server away, once every document is in the set.
        timeout: Seconds until the set has elected a primary.

    Returns:
        A row a collection; none where there can be no replica set, with the reason as progress.

    Raises:
        StepMissing: The database does not run.
        PartFailed: A document is missing in the set, or another; nothing was switched over then.
        PartTooSlow: The set had no primary in time.
    """
    with stages("Replica set") as stage:
        single = target.find(mongodb.PART)
        reason = replica_set_reason(single) or target.skip_reason(mongodb.REPLICAS)
        if reason is not None:
            stage(f"skipped: {reason}")
            return Table()
        if not wanted:
            stage("skipped: it was not asked for; this server can become a replica set")
            return Table()
        part = mongodb.replicas_part(target)
        target.ensure(part, ready=mongodb.ready, timeout=timeout, stage=stage)
        kept = copy(single, mongodb.primary(target), stage=stage)
        lost = [one for one in kept if not one.same]
        if lost:
            raise PartFailed(
                "The replica set does not have every document.",
                where=mongodb.REPLICAS,
                state="; ".join(f"{o.collection}: {o.before}, there {o.after}" for o in lost),
                hint="was something written in the meantime? run this cell again",
            )
        target.store.remember(mongodb.MOVED, mongodb.REPLICAS)
        mcp_server.deploy_mcp_server(target)
        if remove_old:
            target.stop(mongodb.PART)
        return kept


def copy(source: Endpoint, target: Endpoint, *, stage: Stages | None = None) -> Table[Kept]:
    """Bring the target to what the source has: every document, every index, and nothing else.

    Run again, it changes nothing.
    """
    from pymongo import ReplaceOne

    with mongodb.connected(source) as old, mongodb.connected(target) as new:
        for name in sorted(old.list_collection_names()):
            there: list[Any] = []
            for documents in batched(old[name].find(), BATCH):
                changes = [ReplaceOne({"_id": d["_id"]}, d, upsert=True) for d in documents]
                new[name].bulk_write(changes)
                there += [document["_id"] for document in documents]
            new[name].delete_many({"_id": {"$nin": there}})
            for index, about in old[name].index_information().items():
                if index != "_id_":
                    options = {key: about[key] for key in ("unique", "sparse") if key in about}
                    new[name].create_index(about["key"], name=index, **options)
            if stage:
                stage(f"{name}: {len(there)} documents copied")
    return compared(fingerprints(source), fingerprints(target))
