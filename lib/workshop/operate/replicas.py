"""More replicas of the parts that can have them; each answers, and nothing is lost.

MongoDB can have other limits, or be a replica set of three, which needs a real mongod. FerretDB,
which stands in where there is none, has no replica sets: it is asked, and what it says is the
reason why nothing is migrated.
"""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any

from workshop.core.checks import Checks
from workshop.core.errors import PartFailed, StepMissing
from workshop.core.progress import stages
from workshop.core.table import Table
from workshop.operate.load import COUNTED, Load
from workshop.parts import llama_stack, mcp_server, mcp_writer, model, mongodb, postgresql
from workshop.parts.catalog import ALL
from workshop.targets.base import Endpoint, Scale, Target, runs

NO_REPLICATION = 76
"""NoReplicationEnabled: what a mongod says that runs alone, and could be one of a set."""

BATCH = 500  # Documents that are copied at a time.


@dataclass(frozen=True)
class Outcome:
    """What became of a part: how many of it run, and why not more."""

    part: str
    replicas: int
    note: str


def scale_out(
    target: Target,
    *,
    replicas: int = 2,
    most: int = 0,
    model_replicas: int = 1,
    timeout: float = 600.0,
) -> Table[Outcome]:
    """Run several replicas of each part that can have them; says why the others cannot.

    Args:
        target: Where.
        replicas: Of Llama Stack and of the MCP server.
        most: Up to how many an autoscaler may add; none when this is not more.
        model_replicas: Of the model; on a cluster with GPUs each takes one.
        timeout: Seconds until all of a part answer.

    Raises:
        PartFailed, PartTooSlow: A replica ended, or not all were ready in time.
    """
    outcomes: Table[Outcome] = Table()
    with stages("Scale") as stage:
        for spec in ALL:
            if spec.part is None or spec.ready is None:
                continue
            if not runs(target, spec.name):
                outcomes.append(Outcome(spec.name, 0, "it was not deployed"))
                continue
            part = spec.part(target)
            note = target.scaling.reason(part) or ""
            if note:
                stage(f"{part.name} stays as it is: {note}")
            else:
                # Each replica of the model takes a GPU: an autoscaler would wait for nodes.
                is_model = spec.name == model.PART
                scale = Scale(model_replicas) if is_model else Scale(replicas, most)
                target.scaling.scale(part, scale, ready=spec.ready, timeout=timeout, stage=stage)
                if scale.most > scale.replicas:
                    note = f"an autoscaler may add up to {scale.most}"
            outcomes.append(Outcome(part.name, len(target.scaling.replicas(part.name)), note))
    return outcomes


def share_storage(target: Target, *, wanted: bool = True, timeout: float = 300.0) -> Table[Outcome]:
    """Give Llama Stack storage that its replicas share: PostgreSQL with pgvector.

    The runbooks are loaded into it. What was kept inside the server before, its history and the
    answers that it stored, stays on its volume and is not taken over. Not ``wanted``, its storage
    is left as it is; ``timeout`` are the seconds for each of the two. Raises as the deploy verbs.
    """
    reason = target.skip_reason(postgresql.PART) if wanted else "it was not asked for"
    if reason is not None:
        with stages("Shared storage") as stage:
            stage(f"skipped: {reason}")
        return Table([Outcome(postgresql.PART, 0, reason)])
    postgresql.deploy_postgresql(target, timeout=timeout)
    server = target.store.recall("server") or "auto"
    storage = postgresql.PART
    llama_stack.deploy_llama_stack(target, server=server, storage=storage, timeout=timeout)
    return Table([Outcome(storage, 1, "Llama Stack keeps everything in it")])


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

    The limits are such as ``2`` cores and ``1Gi``; "" leaves one as it is. On one machine a process
    has none, and is started again all the same. ``timeout`` are the seconds until it must answer.
    Returns a row per collection; none where there is no database. Raises ``PartFailed`` where it
    ended with these limits; with larger ones it goes on from its data.
    """
    with stages("MongoDB") as stage:
        try:
            before = fingerprints(target.find(mongodb.PART))
        except StepMissing as missing:
            stage(f"skipped: {missing.what}")
            return Table()
        part, scale = mongodb.part_of(target), Scale(cpu=cpu, memory=memory)
        target.scaling.scale(part, scale, ready=mongodb.ready, timeout=timeout, stage=stage)
        return compared(before, fingerprints(target.find(mongodb.PART)))


def fingerprints(endpoint: Endpoint) -> dict[str, list[bytes]]:
    """Of each collection of the kit's database, a digest of every document."""
    from bson import encode

    with mongodb.connected(endpoint) as database:
        return {
            name: sorted(hashlib.sha256(encode(one)).digest() for one in database[name].find())
            for name in database.list_collection_names()
        }


def compared(before: Mapping[str, list[bytes]], after: Mapping[str, list[bytes]]) -> Table[Kept]:
    """Fingerprints, a row per collection."""
    both = ((name, before.get(name, []), after.get(name, [])) for name in sorted({*before, *after}))
    return Table(Kept(name, len(was), len(now), was == now) for name, was, now in both)


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
    its data or ``remove_old``. Not ``wanted``, it says what would be done. ``timeout`` are the
    seconds until the set has elected a primary. Returns a row per collection; none where there can
    be no replica set, with the reason as progress.

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
        kept = copy(single, mongodb.primary(target))
        for one in kept:
            stage(f"{one.collection}: {one.after} documents copied")
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
        if runs(target, mcp_writer.PART):
            mcp_writer.deploy_mcp_writer(target)
        if remove_old:
            target.stop(mongodb.PART)
        return kept


def copy(source: Endpoint, target: Endpoint) -> Table[Kept]:
    """Bring the target to what the source has: every document, every index, and nothing else."""
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
    return compared(fingerprints(source), fingerprints(target))


def verify_scale_out(target: Target, before: Load, after: Load, kept: Sequence[Kept]) -> Checks:
    """Prove that every replica answers, and that no request and no document was lost.

    ``before`` is the load with one replica, ``after`` with more, and empty where nothing has more;
    ``kept`` is what ``resize_mongodb`` gave. Raises ``CheckFailed``.
    """
    checks = Checks("Scale")
    for when, load in (("before", before), ("after", after)):
        if load.series:
            name = f"no request failed under load, {when}"
            checks.equal(name, "none", functools.partial(_failures, load))
    for number, replica in enumerate(target.scaling.replicas(llama_stack.PART), 1):
        name = f"replica {number} of Llama Stack finds the right runbook"
        llama_stack.check_search(checks, name, target, replica)
    if runs(target, mcp_server.PART):
        with mongodb.connected(mongodb.find(target)) as database:
            counted = database[COUNTED].count_documents({})
        for number, replica in enumerate(target.scaling.replicas(mcp_server.PART), 1):
            name = f"replica {number} of the MCP server counts the {COUNTED}"
            checks.equal(name, counted, functools.partial(mcp_server.count, replica, COUNTED))
        checks.equal(
            "the database with other limits has every document as it was",
            ", ".join(f"{one.collection} {one.before}" for one in kept),
            lambda: ", ".join(f"{one.collection} {one.after}" for one in kept if one.same),
        )
    if runs(target, postgresql.PART):
        postgresql.check(checks, target)
    return checks.raise_if_failed()


def _failures(load: Load) -> str:
    failed = [
        f"{point.request}, {point.who}: {point.failed} ({point.failure})"
        for point in load.rows
        if point.failed or not point.answered
    ]
    return "; ".join(failed) or "none"
