"""The runbooks in Llama Stack's vector store: loaded once, found by meaning."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workshop.clients import http, llama_stack
from workshop.core.errors import EndpointError, PartFailed, SettingsError, StepMissing
from workshop.core.progress import Stages
from workshop.core.wait import NotYet, wait_for
from workshop.targets.base import Endpoint, Target

FACT = "runbooks' vector store"

UPLOADED = ".txt"
"""The ending under which a runbook is uploaded. Llama Stack 0.7.3 goes by the ending, and knows
``.md`` only where there is a file ``/etc/mime.types``: without one, as in small images, it takes a
runbook for empty."""

FORGETFUL = "milvus"
"""In which Llama Stack 0.7.3 finds nothing after a restart, though it lists the files: see
``llama_stack.VECTOR_STORES``."""

CHUNKS = {"max_chunk_size_tokens": 360, "chunk_overlap_tokens": 60}
"""How a runbook is cut: a piece must fit into the embedders' 512 tokens, and theirs are smaller. Of
tokens as the servers count them (cl100k_base), German text has 1.3 times as many in theirs, and
JSON 1.2 (measured with all-MiniLM-L6-v2's own tokenizer)."""

NOT_SEARCHED = "The runbooks cannot be searched."
PROBE = "steps"  # What is searched for to see whether anything is found.
NO_STORE = (400, 404)  # With which status a server says that there is no such vector store.


def load(
    endpoint: Endpoint,
    target: Target,
    folder: Path,
    *,
    provider: str,
    embedder: str,
    timeout: float,
    stage: Stages,
) -> str:
    """Load every Markdown file of the folder into a vector store, unless it is there already.

    What is there is told by the server's list of files: a search may find few of them for other
    reasons. A store that was loaded once is completed, and never deleted, unless it has lost all.

    Gives the store's id. ``embedder`` is the embedding model's name in Llama Stack; ``timeout`` are
    the seconds until all files must be embedded.

    Raises:
        PartFailed: A file could not be embedded; says which, and the server's reason.
        PartTooSlow: Not all were embedded in time.
        SettingsError: The folder has no runbooks.
    """
    files = sorted(folder.glob("*.md"))
    if not files:
        raise SettingsError("There are no runbooks.", where=str(folder), hint="git checkout data")
    # The name tells the content, so that edited runbooks, or another embedder, make a new store.
    name = f"runbooks {provider} {embedder} {_digest(files)}"
    wanted = {file.stem + UPLOADED: file for file in files}
    with _client(endpoint, "The runbooks could not be loaded.") as client:
        store = _find(client, name, set(wanted), target.store.recall(FACT))
        if store and provider == FORGETFUL and _finds_nothing(endpoint, client, store, embedder):
            stage("the server has lost the runbooks: loading them again")
            client.vector_stores.delete(vector_store_id=store)
            store = None
        if store is None:
            extra = {"provider_id": provider, "embedding_model": embedder}
            store = str(client.vector_stores.create(name=name, extra_body=extra).id)
        missing = {name: wanted[name] for name in wanted.keys() - _completed(client, store)}
        if missing:
            stage(f"loading {len(missing)} runbooks into {provider}")
            _add(client, store, missing, timeout, stage)
    target.store.remember(FACT, store)
    return store


def store_id(target: Target) -> str:
    """The vector store's id; ``StepMissing`` where the runbooks were not loaded."""
    if store := target.store.recall(FACT):
        return store
    raise StepMissing("The runbooks were not loaded yet.", hint="run 03_deploy_llama_stack first")


def exists(endpoint: Endpoint, store: str) -> bool:
    """Whether the server has this vector store."""
    with _client(endpoint) as client:
        return _retrieved(client, store) is not None


def search(endpoint: Endpoint, store: str, query: str) -> list[str]:
    """The file names that fit the query, best first; three at most."""
    hits = _hits(endpoint, store, query, most=3)
    return [hit["filename"].removesuffix(UPLOADED) + ".md" for hit in hits]


def nearness(endpoint: Endpoint, store: str, provider: str, question: str) -> float | None:
    """How near the best hit is to the question, as ``llama_stack.nearness`` says it."""
    return llama_stack.nearness(_hits(endpoint, store, question, most=1), provider)


def _hits(endpoint: Endpoint, store: str, query: str, *, most: int) -> list[dict[str, Any]]:
    """What a search finds, best first, as the server tells it."""
    path, body = f"/v1/vector_stores/{store}/search", {"query": query, "max_num_results": most}
    try:
        found = http.call(endpoint, path, json=body, timeout=llama_stack.TIMEOUT).json
    except EndpointError as error:
        hint = llama_stack.SERVERS if error.kind == "server error" else error.hint
        raise error.but(what=NOT_SEARCHED, hint=hint) from error
    hits: list[dict[str, Any]] = found["data"]
    return hits


@contextmanager
def _client(endpoint: Endpoint, what: str = NOT_SEARCHED) -> Iterator[Any]:
    """A client whose errors are told as the kit's own; ``what`` is their first sentence."""
    client = llama_stack.client(endpoint)
    try:
        yield client
    except llama_stack.api_error() as error:
        raise llama_stack.explained(error, endpoint, what) from error


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _find(client: Any, name: str, files: set[str], remembered: str | None) -> str | None:
    """The store of this name that was loaded to the end, as the remembered one was.

    What an interrupted run left half-filled is removed.
    """
    known = _retrieved(client, remembered) if remembered else None
    if known and known.name == name:
        return str(known.id)
    found = None
    # The list comes in pages, which a loop reads to the end.
    for store in list(client.vector_stores.list()):
        if store.name != name:
            continue
        if files <= _completed(client, store.id):
            found = str(store.id)
        else:
            client.vector_stores.delete(vector_store_id=store.id)
    return found


def _retrieved(client: Any, store: str) -> Any | None:
    """The store as the server knows it, or None."""
    try:
        return client.vector_stores.retrieve(vector_store_id=store)
    except llama_stack.api_error() as error:
        if getattr(error, "status_code", None) in NO_STORE:
            return None
        raise


def _completed(client: Any, store: str) -> set[str]:
    """The names of the files that the server has embedded into the store."""
    listed = list(client.vector_stores.files.list(vector_store_id=store))
    names = {file.id: str(file.filename) for file in client.files.list()} if listed else {}
    return {names[file.id] for file in listed if file.status == "completed" and file.id in names}


def _finds_nothing(endpoint: Endpoint, client: Any, store: str, embedder: str) -> bool:
    """Whether a search that works finds nothing at all.

    One that fails gives nothing as well, with status 200: so the embedding that it needs is tried
    first, which raises the server's own error.
    """
    client.embeddings.create(model=embedder, input=PROBE)
    return not _hits(endpoint, store, PROBE, most=1)


def _add(client: Any, store: str, files: dict[str, Path], timeout: float, stage: Stages) -> None:
    """Have files embedded into the store, and wait until they are."""
    ids = [
        client.files.create(file=(name, file.read_bytes(), "text/plain"), purpose="assistants").id
        for name, file in sorted(files.items())
    ]
    cut = {"type": "static", "static": CHUNKS}
    batch = client.vector_stores.file_batches.create(
        vector_store_id=store, file_ids=ids, chunking_strategy=cut
    )

    def done() -> object:
        now = client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store)
        counts = now.file_counts
        if counts.failed or now.status in ("failed", "cancelled"):
            listed = client.vector_stores.files.list(vector_store_id=store)
            raise PartFailed(
                f"{counts.failed} of {len(files)} runbooks could not be embedded.",
                where=f"vector store {store}",
                state="; ".join(str(one.last_error) for one in listed if one.last_error)[:400],
                hint="workshop logs llama-stack; workshop logs embedder",
            )
        if counts.completed < len(files):
            return NotYet(f"{counts.completed} of {len(files)} embedded")
        return now

    what, hint = "the runbooks to be embedded", "workshop logs embedder"
    wait_for(what, done, timeout=timeout, stage=stage, every=0.5, hint=hint)
