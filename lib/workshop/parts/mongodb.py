"""MongoDB: the data that the agent asks about."""

import functools
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workshop.core.checks import Checks
from workshop.core.errors import EndpointError, SettingsError, StepMissing, WorkshopError
from workshop.core.progress import Stages, stages
from workshop.core.secret import Secret
from workshop.core.settings import DATA
from workshop.core.table import Table
from workshop.core.wait import NotYet
from workshop.targets.base import Deployed, Endpoint, Part, Target
from workshop.targets.spec import Page, Spec, choices_of, keep_choices

PART, PORT, DATABASE = "mongodb", 27017, "mcp_demo"
USER, READER, MONITOR = "workshop", "workshop-reader", "workshop-monitor"
CREDENTIAL, READER_CREDENTIAL = "mongodb password", "mongodb reader password"
MONITOR_CREDENTIAL = "mongodb monitor password"
STORAGE = "20Gi"  # Of the database's volume on a cluster.
REPLICAS, MOVED = "mongodb-replicas", "mongodb moved to"
"""The part that is a replica set, and the fact that says that it has the documents now."""
IDS = {"services": "name", "incidents": "incident_id", "alerts": "alert_id"}
"""The collections, and the field of each that becomes its documents' ``_id``."""

UNAUTHORIZED = (13, 18)  # The codes with which a user, or a password, is refused.

Documents = Mapping[tuple[str, str], Mapping[str, Any]]
"""Documents by their collection and ``_id``; for each collection itself an empty one, of "".
"""


@dataclass(frozen=True)
class Loaded:
    """What loading changed in one collection, counted in documents."""

    collection: str
    inserted: int
    restored: int
    unchanged: int
    yours: int


def deploy_mongodb(
    target: Target, *, storage_size: str = STORAGE, storage_class: str = "", timeout: float = 120.0
) -> Deployed:
    """Deploy the database, with a user and a generated password.

    ``storage_size`` and ``storage_class`` are of its volume on a cluster, "" for the default class;
    ``timeout`` are the seconds until it must answer. Raises as ``Target.ensure``.
    """
    with stages("MongoDB") as stage:
        if target.store.recall(MOVED):
            stage("the documents are in the replica set, as 10_scale_out has moved them")
            part = replicas_part(target)
        else:
            keep_choices(target, PART, storage_size=storage_size, storage_class=storage_class)
            part = part_of(target)
        return target.ensure(part, ready=ready, timeout=timeout, stage=stage)


def find(target: Target) -> Endpoint:
    """The database that has the documents: the single server, or a replica set's primary."""
    return primary(target) if target.store.recall(MOVED) else target.find(PART)


def primary(target: Target) -> Endpoint:
    """The member of the replica set that takes writes."""
    for member in target.scaling.replicas(REPLICAS):
        with connected(member) as database:
            if database.client.admin.command("hello").get("isWritablePrimary"):
                return member
    raise EndpointError(
        "The replica set has no primary.", where=REPLICAS, hint="kubectl logs mongodb-replicas-0"
    ).of_kind("busy")


def part_of(target: Target, **given: str) -> Part:
    """What the database must be, by these parameters of its verb or those of the last time."""
    chosen = given or choices_of(target, PART)
    return Part(
        PART,
        PORT,
        settings={
            "scheme": "mongodb",
            "user": USER,
            "reader": READER,
            "monitor": MONITOR,
            "storage_size": chosen.get("storage_size", STORAGE),
            "storage_class": chosen.get("storage_class", ""),
        },
        secrets={
            "password": password(target, CREDENTIAL),
            "reader password": password(target, READER_CREDENTIAL),
            "monitor password": password(target, MONITOR_CREDENTIAL),
        },
        extra_ports={"metrics": 28017},
        credential=CREDENTIAL,
    )


def replicas_part(target: Target) -> Part:
    """What the replica set must be: the single server's users, and a key of its own."""
    single = part_of(target)
    key = target.store.secret("mongodb replica key", lambda: secrets.token_hex(256))
    kept = {**single.secrets, "key": key}
    return Part(REPLICAS, PORT, settings=single.settings, secrets=kept, credential=CREDENTIAL)


def password(target: Target, credential: str) -> Secret:
    """Of one of the users; the reader and the monitor are told apart where a database has roles."""
    return target.store.secret(credential, lambda: secrets.token_urlsafe(24))


def load_sample_data(target: Target, data: Path = DATA) -> Table[Loaded]:
    """Load the sample documents into the database, each under an ``_id`` of its own.

    Running it again changes nothing. A document of the kit that somebody edited is restored; one
    that somebody added is kept. Raises ``StepMissing`` where the database does not run,
    ``SettingsError`` where a file cannot be read.
    """
    from pymongo import ReplaceOne

    with stages("Sample data") as stage, connected(find(target)) as database:
        loaded: Table[Loaded] = Table()
        for name, documents in _sample(data).items():
            changes = [ReplaceOne({"_id": d["_id"]}, d, upsert=True) for d in documents]
            result = database[name].bulk_write(changes)
            inserted, restored = result.upserted_count, result.modified_count
            total, known = database[name].count_documents({}), len(documents)
            same = known - inserted - restored
            loaded.append(Loaded(name, inserted, restored, same, yours=total - known))
            stage(f"{name}: {inserted} inserted, {total} there now")
        return loaded


def verify_mongodb(target: Target) -> Checks:
    """Prove that the documents are there, that a known one is right, and that a password is needed.

    Raises ``CheckFailed``, or ``StepMissing`` where the database does not run.
    """
    endpoint, sample = find(target), _sample(DATA)
    checks = Checks("MongoDB")
    with connected(endpoint) as database:
        for name, documents in sample.items():
            wanted = {"_id": {"$in": [d["_id"] for d in documents]}}
            checks.equal(
                f"has the {name}",
                len(documents),
                functools.partial(database[name].count_documents, wanted),
                hint="run 04_deploy_mongodb again: it loads what is missing",
            )
        known = sample["incidents"][0]
        checks.equal(
            f"has {known['_id']} as it was written",
            known["title"],
            lambda: str((database.incidents.find_one({"_id": known["_id"]}) or {}).get("title")),
        )
        again = functools.partial(_changes, target)
        checks.equal("loading twice changes nothing", "0 inserted, 0 restored", again)
    name, said = "refuses without a password", functools.partial(refusal, endpoint)
    checks.that(name, "refused", said, lambda seen: seen.startswith("refused"))
    return checks.raise_if_failed()


def _changes(target: Target) -> str:
    loaded = load_sample_data(target)
    inserted, restored = sum(o.inserted for o in loaded), sum(o.restored for o in loaded)
    return f"{inserted} inserted, {restored} restored"


def query_mongodb(target: Target, collection: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask the database directly, without an agent: the documents of a collection that match.

    The collections are ``services``, ``incidents`` and ``alerts``. A query has values by field, as
    MongoDB's ``find`` takes them; ``{}`` matches all documents. Raises ``EndpointError`` where the
    database does not answer, or refuses the query, and ``StepMissing`` where it does not run.
    """
    with connected(find(target)) as database:
        return list(database[collection].find(query))


def read_documents(path: Path, key: str) -> list[dict[str, Any]]:
    """The documents of one file, with ``_id`` first; a damaged file is a ``SettingsError``."""
    try:
        return [{"_id": d[key], **d} for d in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            "The sample data cannot be read.",
            where=str(path),
            state=f"{type(error).__name__}: {error}",
            hint="each file is a list of documents with a unique " + key,
        ) from error


def _sample(data: Path) -> dict[str, list[dict[str, Any]]]:
    return {name: read_documents(data / f"{name}.json", key) for name, key in IDS.items()}


def ready(endpoint: Endpoint, before: Secret | None = None) -> object:
    """Authenticated, because a server that only answers a ping may still be setting up its user."""
    try:
        log_in(endpoint)
    except EndpointError as error:
        if error.kind != "unauthorized":
            return NotYet(error.state)
        if _make_first_user(endpoint):
            return NotYet("creating the first user")
        if before and endpoint.password:
            change_password(endpoint, before, endpoint.password)
            return NotYet("its password is changed")
        raise
    return True


def refusal(endpoint: Endpoint) -> str:
    """What it says to who has no password."""
    try:
        return f"let in: {log_in(replace(endpoint, password=None))}"
    except EndpointError as error:
        # pymongo adds the server's whole reply, which says the same once more.
        said = error.state.partition(", full error")[0]
        return f"refused: {said}" if error.kind == "unauthorized" else error.what


def log_in(endpoint: Endpoint) -> list[str]:
    """The names of the collections, which only a user who has logged in is told."""
    with connected(endpoint) as database:
        names: list[str] = database.list_collection_names()
        return names


@contextmanager
def connected(endpoint: Endpoint, timeout: float = 3.0) -> Iterator[Any]:
    """The kit's database, as pymongo reads it; its errors are raised as ``EndpointError``.

    ``timeout`` are the seconds in which it must answer first.
    """
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    first = round(1000 * timeout)
    options: dict[str, Any] = {"directConnection": True, "serverSelectionTimeoutMS": first}
    if endpoint.password:
        options |= {"username": endpoint.user, "password": endpoint.password.reveal()}
        options["authSource"] = "admin"
    try:
        with MongoClient(endpoint.url, **options) as client:
            yield client[DATABASE]
    except PyMongoError as error:
        raise _explained(endpoint, error) from error


def product(database: Any) -> str:
    """Which server it is, with its version: ``FerretDB v1.24.2``, or ``MongoDB 8.0.4``."""
    info = database.client.admin.command("buildInfo")
    ferretdb = info.get("ferretdbVersion")
    return f"FerretDB {ferretdb}" if ferretdb else f"MongoDB {info['version']}"


def documents(database: Any) -> Documents:
    """Every document, to compare with what is there later."""
    names = database.list_collection_names()
    found: dict[tuple[str, str], Mapping[str, Any]] = {(name, ""): {} for name in names}
    found |= {(name, str(one.get("_id"))): one for name in names for one in database[name].find()}
    return found


def differences(before: Documents, after: Documents) -> list[str]:
    """Of each document that is not the same, its name, and the fields that differ as they are now.

    Example:
        >>> was, now = ({("incidents", "INC-001"): {"status": one}} for one in ("open", "resolved"))
        >>> differences(was, now)
        ["incidents INC-001: status = 'resolved'"]
    """
    found = []
    for key in sorted(before.keys() | after.keys()):
        old, new, name = before.get(key), after.get(key), " ".join(key).strip()
        if old is None or new is None:
            found.append(f"{name} {'removed' if new is None else 'added'}")
        elif fields := sorted(
            one for one in {*old, *new} if _stored(old, one) != _stored(new, one)
        ):
            told = [f"{one} = {new[one]!r}" if one in new else f"{one} removed" for one in fields]
            found.append(f"{name}: {', '.join(told)}")
    return found


def _stored(document: Mapping[str, Any], field: str) -> bytes:
    """A field as MongoDB keeps it: in Python 1 is 1.0 and True, and NaN is not itself."""
    from bson import encode

    return encode({"": document[field]}) if field in document else b""


def change_password(endpoint: Endpoint, old: Secret, new: Secret) -> None:
    """Give the database's user a new password; nothing, if the new one is good already."""
    with suppress(EndpointError):
        log_in(replace(endpoint, password=new))
        return
    with connected(replace(endpoint, password=old)) as database:
        database.client.admin.command("updateUser", endpoint.user, pwd=new.reveal())


def _make_first_user(endpoint: Endpoint) -> bool:
    """Use mongod's localhost exception: on a database without users, one may be made."""
    if endpoint.password is None:
        return False
    word = endpoint.password.reveal()
    with suppress(EndpointError), connected(replace(endpoint, password=None)) as database:
        database.client.admin.command("createUser", endpoint.user, pwd=word, roles=["root"])
        return True
    return False


def _explained(endpoint: Endpoint, error: Exception) -> EndpointError:
    from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

    kind, what = "server error", "The database failed."
    hint = "run 04_deploy_mongodb again: it starts what has ended"
    if isinstance(error, ServerSelectionTimeoutError):
        kind, what = "refused", "The database does not answer."
    elif isinstance(error, OperationFailure) and error.code in UNAUTHORIZED:
        kind, what = "unauthorized", "The database refused the user or password."
        hint = (
            "run 08_secure_the_network again if it was interrupted; else its data was made with "
            "another password: workshop stop mongodb, move its data folder away, and run "
            "04_deploy_mongodb again"
        )
    # pymongo goes on with its settings and what it knows of every server.
    text = " ".join(str(error).split()).partition(" (configured timeouts")[0][:300]
    return EndpointError(what, where=endpoint.url, state=text, hint=hint).of_kind(kind)


def rotate(
    target: Target, old: Sequence[Secret], timeout: float, stage: Stages
) -> Sequence[Callable[[], object]]:
    """Give the database its new passwords; gives what logs in with each of the old ones."""
    old_password, old_reader = old
    # Before it starts again: a database keeps passwords with its data, whatever it is started
    # with. One that does not run is told when it does.
    with suppress(StepMissing):
        change_password(target.find(PART), old_password, password(target, CREDENTIAL))
        stage("the database has its new password")
    told = functools.partial(ready, before=old_password)
    endpoint = target.ensure(part_of(target), ready=told, timeout=timeout, stage=stage).endpoint
    reader = replace(endpoint, user=READER, password=old_reader)
    strangers = replace(endpoint, password=old_password), reader
    return [functools.partial(log_in, stranger) for stranger in strangers]


def check_data(target: Target) -> None:
    """Raise if a document is missing or edited; the checkpoint of notebook 04 puts them back."""
    lacking = []
    with connected(find(target)) as database:
        for name, documents in _sample(DATA).items():
            there = {d["_id"]: d for d in database[name].find()}
            missing = [d["_id"] for d in documents if d["_id"] not in there]
            edited = [d["_id"] for d in documents if there.get(d["_id"], d) != d]
            lacking += [f"{len(missing)} of {len(documents)} {name} are missing"] * bool(missing)
            lacking += [f"edited {name}: {', '.join(edited[:5])}"] * bool(edited)
    if lacking:
        raise WorkshopError(
            "The sample data is not as it was loaded.",
            state="; ".join(lacking),
            hint="run 04_deploy_mongodb again: it loads what is missing, and restores the rest",
        )


SPEC = Spec(
    name=PART,
    notebook="04_deploy_mongodb",
    port=PORT,
    beside=("mongodb-users", "mongodb-exporter"),
    serves="data",
    order=4,
    # On one machine FerretDB's own page; on a cluster that of Percona's mongodb_exporter.
    page=Page(PART, PART, 9216, "/debug/metrics", also="metrics", exporter="mongodb-exporter"),
    credentials=(CREDENTIAL, READER_CREDENTIAL),
    callers=("mcp-server",),
    part=part_of,
    ready=ready,
    rotate=rotate,
    refusal=lambda target: refusal(find(target)),
    examine=check_data,
    prestart=lambda target, given, _started: [
        part_of(
            target,
            storage_size=str(given.get("STORAGE_SIZE", STORAGE)),
            storage_class=str(given.get("STORAGE_CLASS", "")),
        )
    ],
)

REPLICA_SET = Spec(
    name=REPLICAS,
    notebook="10_scale_out",
    on=("cluster",),
    port=PORT,
    beside=("mongodb-replicas-initiate",),
    ready=ready,
)
