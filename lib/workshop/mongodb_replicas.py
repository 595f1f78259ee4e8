"""MongoDB as a replica set of three, and the way there from a single server.

A replica set needs a real mongod. FerretDB, which stands in where there is none, has no replica
sets: it is asked, and what it says is the reason why nothing is migrated.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workshop import mcp_server, mongodb
from workshop.errors import EndpointError, PartFailed
from workshop.mongodb_scale import Kept, compared, fingerprints
from workshop.progress import Stages, stages
from workshop.table import Table
from workshop.target import Endpoint, Part, Target

PART = mongodb.REPLICAS
SET = "rs0"
NO_REPLICATION = 76
"""NoReplicationEnabled: what a mongod says that runs alone, and could be one of a set."""

BATCH = 500
"""Documents that are copied at a time."""


def replica_set_reason(endpoint: Endpoint) -> str | None:
    """Why this server cannot become a replica set, or None when it can: it is asked.

    Raises:
        EndpointError: It does not answer, or refuses.
    """
    with _admin(endpoint) as admin:
        hello = admin.command("hello")
        if hello.get("setName"):
            return f"it is the replica set {hello['setName']} already"
        code, said = _refusal(admin)
    if code == NO_REPLICATION:
        return None
    return f"this server has no replica sets: {said}"


def migrate_mongodb(
    target: Target, *, wanted: bool = True, remove_old: bool = False, timeout: float = 600.0
) -> Table[Kept]:
    """Move every document from the single server to a replica set, and let all use that.

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
        reason = replica_set_reason(single) or target.skip_reason(PART)
        if reason is not None:
            stage(f"skipped: {reason}")
            return Table()
        if not wanted:
            stage("skipped: it was not asked for; this server can become a replica set")
            return Table()
        target.ensure(part_of(target), ready=mongodb.ready, timeout=timeout, stage=stage)
        kept = copy(single, primary(target), stage=stage)
        lost = [one for one in kept if not one.same]
        if lost:
            raise PartFailed(
                "The replica set does not have every document.",
                where=PART,
                state="; ".join(f"{o.collection}: {o.before}, there {o.after}" for o in lost),
                hint="was something written in the meantime? run this cell again",
            )
        target.remember(mongodb.MOVED, PART)
        mcp_server.deploy_mcp_server(target)
        if remove_old:
            target.stop(mongodb.PART)
        return kept


def part_of(target: Target) -> Part:
    """What the replica set must be: the single server's users, and a key of its own."""
    single = mongodb.deployed_part(target)
    key = target.secret("mongodb replica key", lambda: secrets.token_hex(256))
    return Part(
        PART,
        mongodb.PORT,
        settings=single.settings,
        secrets={**single.secrets, "key": key},
        credential=mongodb.CREDENTIAL,
    )


def primary(target: Target) -> Endpoint:
    """The member that takes writes.

    Raises:
        EndpointError: No member says that it is.
    """
    for member in target.replicas(PART):
        with _admin(member) as admin:
            if admin.command("hello").get("isWritablePrimary"):
                return member
    raise EndpointError(
        "The replica set has no primary.", where=PART, hint="kubectl logs mongodb-replicas-0"
    ).of_kind("busy")


def copy(source: Endpoint, target: Endpoint, *, stage: Stages | None = None) -> Table[Kept]:
    """Bring the target to what the source has: every document, every index, and nothing else.

    Run again, it changes nothing.

    Raises:
        EndpointError: One of the two does not answer, or refuses.
    """
    from pymongo import ReplaceOne

    with mongodb.connected(source) as old, mongodb.connected(target) as new:
        for name in sorted(old.list_collection_names()):
            there: list[Any] = []
            batch: list[Any] = []
            for document in old[name].find():
                there.append(document["_id"])
                batch.append(ReplaceOne({"_id": document["_id"]}, document, upsert=True))
                if len(batch) == BATCH:
                    new[name].bulk_write(batch)
                    batch = []
            if batch:
                new[name].bulk_write(batch)
            new[name].delete_many({"_id": {"$nin": there}})
            _copy_indexes(old[name], new[name])
            if stage:
                stage(f"{name}: {len(there)} documents copied")
    return compared(fingerprints(source), fingerprints(target))


def _copy_indexes(old: Any, new: Any) -> None:
    for name, index in old.index_information().items():
        if name != "_id_":
            fields = {key: index[key] for key in ("unique", "sparse") if key in index}
            new.create_index(index["key"], name=name, **fields)


def _refusal(admin: Any) -> tuple[int, str]:
    """How the server answers a question that only a member of a replica set can."""
    from pymongo.errors import OperationFailure

    try:
        admin.command("replSetGetStatus")
    except OperationFailure as error:
        return int(error.code or 0), str(error).partition(", full error")[0]
    return 0, "it has a status, and no name"


@contextmanager
def _admin(endpoint: Endpoint) -> Iterator[Any]:
    with mongodb.connected(endpoint) as database:
        yield database.client.admin
