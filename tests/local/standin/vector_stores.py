"""The vector stores of Llama Stack and OGX as a real HTTP server that can be made to misbehave.

Lists come in pages of 20, newest first; a file is embedded when it is attached, as in both servers;
a search gives chunks of the longest file first.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from standin.loopback import Handler, Loopback

PAGE = 20
CHUNK = 50
"""Characters of a chunk."""


@dataclass
class Store:
    """A vector store: its name, the ids of its files, and whether a search in it finds anything."""

    name: str
    files: list[str] = field(default_factory=list)
    forgotten: bool = False


@dataclass
class VectorStores(Loopback):
    """What it has, and how it misbehaves.

    Args:
        version: The server's: by it the kit chooses its client.
        one_chunk: A text is kept once in a store, as in OGX, whatever files have it.
        embeds: Whether its embedder answers. If not, a search gives nothing, with status 200.
    """

    version: str = "0.7.3"
    one_chunk: bool = False
    embeds: bool = True
    stores: dict[str, Store] = field(default_factory=dict)
    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    attached: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    def handler(self) -> type[Handler]:
        standin = self

        class Answering(Handler):
            def do_GET(self) -> None:
                address = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(address.query).items()}
                raw = self.body()
                if self.headers.get("content-type", "").startswith("multipart/"):
                    named = re.search(rb'filename="([^"]+)".*?\r\n\r\n(.*?)\r\n--', raw, re.DOTALL)
                    assert named
                    body: Any = tuple(part.decode() for part in named.groups())
                else:
                    body = json.loads(raw or b"{}")
                self.answer(*standin.answer(self.command, address.path, query, body))

            do_POST = do_DELETE = do_GET

        return Answering

    def add(self, name: str) -> str:
        """Make an empty store; gives its id."""
        store = f"vs_{next(self._numbers)}"
        self.stores[store] = Store(name)
        return store

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Status and content."""
        words = path.removeprefix("/v1/").split("/")
        match method, *words:
            case "GET", "version":
                return 200, {"version": self.version}
            case "POST", "embeddings":
                vector = {"index": 0, "embedding": [0.0], "object": "embedding"}
                content = {"object": "list", "data": [vector], "model": "e", "usage": {}}
                return (
                    (200, content) if self.embeds else (500, {"error": {"message": "no embedder"}})
                )
            case "POST", "files":
                number = f"file-{next(self._numbers)}"
                self.files[number] = body
                return 200, self._file(number)
            case "GET", "files":
                return 200, _page([self._file(one) for one in reversed(self.files)], query)
            case "POST", "vector_stores":
                return 200, self._store(self.add(body["name"]))
            case "GET", "vector_stores":
                return 200, _page([self._store(one) for one in reversed(self.stores)], query)
            case _, "vector_stores", number, *rest:
                if number not in self.stores:
                    return 400, {"error": {"message": f"Vector_store '{number}' not found"}}
                return 200, self._in_store(method, number, rest, query, body)
        return 404, {"detail": "Not Found"}

    def _in_store(
        self, method: str, number: str, rest: list[str], query: dict[str, str], body: Any
    ) -> Any:
        store = self.stores[number]
        match method, *rest:
            case ("DELETE",):
                del self.stores[number]
                self.deleted.append(number)
                return {"id": number, "object": "vector_store.deleted", "deleted": True}
            case "POST", "search":
                hits = self._hits(store) if self.embeds and not store.forgotten else []
                return {"data": hits[: body["max_num_results"]], "search_query": ["steps"]}
            case "GET", "files":
                return _page([self._attached(number, one) for one in store.files], query)
            case "POST", "file_batches":
                store.files += body["file_ids"]
                self.attached += [self.files[one][0] for one in body["file_ids"]]
                return self._batch(number, len(body["file_ids"]))
            case "GET", "file_batches", _batch:
                return self._batch(number, len(store.files))
        return self._store(number)

    def _hits(self, store: Store) -> list[dict[str, Any]]:
        found, seen = [], set()
        for number in sorted(store.files, key=lambda one: -len(self.files[one][1])):
            name, text = self.files[number]
            if self.one_chunk and text in seen:
                continue
            seen.add(text)
            hit = {"file_id": number, "filename": name, "score": 1.0, "attributes": {}}
            for start in range(0, len(text), CHUNK):
                content = [{"type": "text", "text": text[start : start + CHUNK]}]
                found.append(hit | {"content": content})
        return found

    def _store(self, number: str) -> dict[str, Any]:
        store = self.stores[number]
        counts = _counts(len(store.files))
        about = {"object": "vector_store", "created_at": 1, "status": "completed"}
        return about | {"id": number, "name": store.name, "file_counts": counts, "metadata": {}}

    def _file(self, number: str) -> dict[str, Any]:
        about = {"object": "file", "bytes": 1, "created_at": 1, "purpose": "assistants"}
        return about | {"id": number, "filename": self.files[number][0]}

    def _attached(self, store: str, number: str) -> dict[str, Any]:
        about = {"object": "vector_store.file", "created_at": 1, "status": "completed"}
        return about | {"id": number, "vector_store_id": store, "attributes": {}}

    def _batch(self, store: str, files: int) -> dict[str, Any]:
        about = {"object": "vector_store.file_batch", "created_at": 1, "status": "completed"}
        return about | {"id": "batch", "vector_store_id": store, "file_counts": _counts(files)}


def _counts(files: int) -> dict[str, int]:
    return {"completed": files, "total": files, "failed": 0, "in_progress": 0, "cancelled": 0}


def _page(entries: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    ids = [entry["id"] for entry in entries]
    first = ids.index(query["after"]) + 1 if "after" in query else 0
    found = entries[first : first + min(PAGE, int(query.get("limit", PAGE)))]
    more = first + len(found) < len(entries)
    last = found[-1]["id"] if found else None
    return {"object": "list", "data": found, "has_more": more, "last_id": last, "first_id": None}
