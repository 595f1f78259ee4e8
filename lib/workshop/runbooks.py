"""The runbooks in Llama Stack's vector store: loaded once, found by meaning."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from workshop import clients
from workshop.errors import PartFailed, SettingsError, StepMissing
from workshop.progress import Stages
from workshop.target import Endpoint, Target
from workshop.wait import NotYet, wait_for

FACT = "runbooks' vector store"

UPLOADED = ".txt"
"""The ending under which a runbook is uploaded. Llama Stack 0.7.3 goes by the ending, and knows
``.md`` only where there is a file ``/etc/mime.types``: without one, as in small images, it takes a
runbook for empty."""

PROBED = 12
CHUNKS = 4
"""A search gives at most 50 results: room for four chunks of each file that is looked for."""


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

    Args:
        endpoint: Llama Stack.
        target: Keeps the vector store's id.
        folder: Of the runbooks; a user's own files beside them are loaded too.
        provider: ``milvus`` or ``faiss``.
        embedder: The embedding model's name in Llama Stack.
        timeout: Seconds until all files must be embedded.
        stage: Shows progress.

    Returns:
        The vector store's id.

    Raises:
        PartFailed: A file could not be embedded; says which, and the server's reason.
        PartTooSlow: Not all were embedded in time.
        SettingsError: The folder has no runbooks.
    """
    files = sorted(folder.glob("*.md"))
    if not files:
        raise SettingsError("There are no runbooks.", where=str(folder), hint="git checkout data")
    # The name tells the content, so that edited runbooks make a new store.
    name = f"runbooks {provider} {_digest(files)}"
    client = clients.client(endpoint)
    try:
        store = _find(client, name)
        if store is not None and not _holds(client, store, len(files)):
            # Llama Stack has forgotten what is in Milvus: see VECTOR_STORES.
            stage("the server has lost the runbooks: loading them again")
            client.vector_stores.delete(vector_store_id=store)
            store = None
        if store is None:
            store = _create(client, name, files, provider, embedder, timeout, stage)
    except clients.api_error(client) as error:
        raise clients.explained(error, endpoint, "The runbooks could not be loaded.") from error
    target.remember(FACT, store)
    return store


def store_id(target: Target) -> str:
    """The vector store's id.

    Raises:
        StepMissing: The runbooks were not loaded.
    """
    store = target.recall(FACT)
    if store is None:
        raise StepMissing(
            "The runbooks were not loaded yet.", hint="run 03_deploy_llama_stack first"
        )
    return store


def search(endpoint: Endpoint, store: str, query: str) -> list[str]:
    """The file names that fit the query, best first.

    Raises:
        EndpointError: The server cannot search this store.
    """
    client = clients.client(endpoint)
    try:
        found = client.vector_stores.search(vector_store_id=store, query=query, max_num_results=3)
    except clients.api_error(client) as error:
        raise clients.explained(error, endpoint, "The runbooks cannot be searched.") from error
    return [str(hit.filename).removesuffix(UPLOADED) + ".md" for hit in found.data]


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _find(client: Any, name: str) -> str | None:
    """The finished store of this name; one that an interrupted run left half-filled is removed."""
    found = None
    for store in client.vector_stores.list().data:
        if store.name != name:
            continue
        counts = store.file_counts
        if counts.total and counts.completed == counts.total:
            found = str(store.id)
        else:
            client.vector_stores.delete(vector_store_id=store.id)
    return found


def _holds(client: Any, store: str, files: int) -> bool:
    """Whether a search can find all files, or the first ``PROBED`` of many."""
    wanted = min(files, PROBED)
    found = client.vector_stores.search(
        vector_store_id=store, query="steps", max_num_results=wanted * CHUNKS
    )
    return len({hit.file_id for hit in found.data}) >= wanted


def _create(
    client: Any,
    name: str,
    files: list[Path],
    provider: str,
    embedder: str,
    timeout: float,
    stage: Stages,
) -> str:
    stage(f"loading {len(files)} runbooks into {provider}")
    store = client.vector_stores.create(
        name=name, extra_body={"provider_id": provider, "embedding_model": embedder}
    )
    ids = [
        client.files.create(
            file=(file.stem + UPLOADED, file.read_bytes(), "text/plain"), purpose="assistants"
        ).id
        for file in files
    ]
    batch = client.vector_stores.file_batches.create(vector_store_id=store.id, file_ids=ids)

    def done() -> object:
        now = client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id)
        counts = now.file_counts
        if counts.failed or now.status in ("failed", "cancelled"):
            raise PartFailed(
                f"{counts.failed} of {len(files)} runbooks could not be embedded.",
                where=f"vector store {store.id}",
                state=_reasons(client, store.id),
                hint="workshop logs llama-stack; workshop logs embedder",
            )
        if counts.completed < len(files):
            return NotYet(f"{counts.completed} of {len(files)} embedded")
        return now

    wait_for(
        "the runbooks to be embedded",
        done,
        timeout=timeout,
        stage=stage,
        every=0.5,
        hint="workshop logs embedder",
    )
    return str(store.id)


def _reasons(client: Any, store: str) -> str:
    listed = client.vector_stores.files.list(vector_store_id=store).data
    return "; ".join(str(file.last_error) for file in listed if file.last_error)[:400]
