"""The database with other limits: restarted, and every document as it was before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from workshop import mongodb
from workshop.errors import StepMissing
from workshop.progress import stages
from workshop.table import Table
from workshop.target import Endpoint, Scale, Target

Fingerprint = tuple[int, str]
"""A collection's number of documents, and a digest of all that they say."""


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
    """Run the database with other limits, which starts it again; gives what became of its data.

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
            target.find(mongodb.PART)
        except StepMissing as missing:
            stage(f"skipped: {missing.what}")
            return Table()
        before = fingerprints(target.find(mongodb.PART))
        part, scale = mongodb.deployed_part(target), Scale(cpu=cpu, memory=memory)
        target.scale(part, scale, ready=mongodb.ready, timeout=timeout, stage=stage)
        return compared(before, fingerprints(target.find(mongodb.PART)))


def fingerprints(endpoint: Endpoint) -> dict[str, Fingerprint]:
    """Of each collection of the kit's database.

    Raises:
        EndpointError: The database does not answer, or refuses.
    """
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
