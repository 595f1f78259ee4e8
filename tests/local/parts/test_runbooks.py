"""Loading the runbooks: what a server lists counts, and nothing that is there is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from standin.openai_server import LOGIN, OpenAIServer
from standin.vector_stores import VectorStores
from workshop.core.errors import EndpointError
from workshop.core.progress import Stages
from workshop.core.settings import Settings
from workshop.parts import runbooks
from workshop.parts.catalog import ALL
from workshop.targets.base import Endpoint
from workshop.targets.local.target import LocalTarget

pytestmark = pytest.mark.timeout(60)

SHORT = {f"runbook-{number}": f"Steps of runbook {number}." for number in range(5)}
LONG = {"long": "A step of many. " * 200}
"""Of more chunks than a search gives hits: it takes all of them."""


@pytest.fixture(params=["0.7.3", "1.5.0"])
def server(request: pytest.FixtureRequest) -> Iterator[VectorStores]:
    """Asked by the client of Llama Stack, and by that of OGX."""
    with VectorStores(version=request.param) as standin:
        yield standin


class Kit:
    """The kit on this server, with a folder of runbooks."""

    def __init__(self, server: VectorStores, folder: Path, files: dict[str, str]) -> None:
        self.endpoint = Endpoint(server.url)
        self.target = LocalTarget(Settings(state=folder / "state" / "local"), ALL)
        self.folder = folder / "runbooks"
        self.folder.mkdir()
        for name, text in files.items():
            (self.folder / f"{name}.md").write_text(text)

    def load(self, provider: str = "faiss") -> str:
        return runbooks.load(
            self.endpoint,
            self.target,
            self.folder,
            provider=provider,
            embedder="embedder",
            timeout=10,
            stage=Stages("test"),
        )


def test_a_long_runbook_that_takes_all_hits_is_no_reason_to_load_anything_again(
    server: VectorStores, tmp_path: Path
) -> None:
    kit = Kit(server, tmp_path, SHORT | LONG)
    for provider in ("faiss", "milvus"):
        store = kit.load(provider)
        loaded = len(server.attached)
        assert kit.load(provider) == store
        assert server.deleted == []
        assert len(server.attached) == loaded


def test_two_runbooks_of_the_same_text_are_loaded_once(
    server: VectorStores, tmp_path: Path
) -> None:
    server.one_chunk = True
    kit = Kit(server, tmp_path, {**SHORT, "copy": SHORT["runbook-1"]})
    assert kit.load() == kit.load()
    assert server.deleted == []
    assert sorted(server.attached) == sorted(f"{name}.txt" for name in [*SHORT, "copy"])


@pytest.mark.parametrize("remembered", [True, False])
def test_a_store_behind_many_newer_ones_is_found(
    server: VectorStores, tmp_path: Path, remembered: bool
) -> None:
    kit = Kit(server, tmp_path, {f"runbook-{number}": f"Step {number}." for number in range(25)})
    store = kit.load()
    for number in range(45):
        server.add(f"of somebody else {number}")
    if not remembered:
        kit.target.store.remember(runbooks.FACT, None)
    assert kit.load() == store
    assert len(server.attached) == 25
    assert runbooks.store_id(kit.target) == store


def test_a_file_that_is_missing_in_a_loaded_store_is_added_and_nothing_deleted(
    server: VectorStores, tmp_path: Path
) -> None:
    kit = Kit(server, tmp_path, SHORT)
    store = kit.load()
    lost = server.stores[store].files.pop()
    mine = "file-mine"
    server.files[mine] = ("mine.txt", "Put there by hand.")
    server.stores[store].files.append(mine)
    assert kit.load() == store
    assert server.attached[len(SHORT) :] == [server.files[lost][0]]
    assert mine in server.stores[store].files
    assert server.deleted == []


def test_what_an_interrupted_run_left_is_removed(server: VectorStores, tmp_path: Path) -> None:
    kit = Kit(server, tmp_path, SHORT)
    half = kit.load()
    kit.target.store.remember(runbooks.FACT, None)
    server.stores[half].files.pop()
    assert kit.load() != half
    assert server.deleted == [half]


def test_only_milvus_that_finds_nothing_is_loaded_again(
    server: VectorStores, tmp_path: Path
) -> None:
    kit = Kit(server, tmp_path, SHORT)
    faiss, milvus = kit.load("faiss"), kit.load("milvus")
    for store in (faiss, milvus):
        server.stores[store].forgotten = True
    assert kit.load("faiss") == faiss
    again = kit.load("milvus")
    assert server.deleted == [milvus]
    assert len(server.stores[again].files) == len(SHORT)


def test_a_search_that_fails_deletes_nothing_and_says_why(
    server: VectorStores, tmp_path: Path
) -> None:
    kit = Kit(server, tmp_path, SHORT)
    store = kit.load("milvus")
    server.embeds = False
    with pytest.raises(EndpointError) as failed:
        kit.load("milvus")
    assert "The runbooks could not be loaded." in str(failed.value)
    assert "no embedder" in str(failed.value)
    assert server.deleted == []
    server.embeds = True
    assert kit.load("milvus") == store


def test_a_store_that_is_gone_is_told_from_one_without_hits(server: VectorStores) -> None:
    store = server.add("empty")
    assert runbooks.exists(Endpoint(server.url), store)
    assert not runbooks.exists(Endpoint(server.url), "vs_gone")


def test_a_login_page_is_no_answer() -> None:
    with OpenAIServer(page=(200, LOGIN)) as server, pytest.raises(EndpointError) as failed:
        runbooks.exists(Endpoint(server.url), "vs_any")
    assert str(failed.value) == (
        "The runbooks cannot be searched.\n"
        f"  Where: {server.url}/v1/vector_stores/vs_any\n"
        "  Last state: HTTP 200: text/html\n"
        "  Hint: check the URL: another program may listen there, or a login page come before it"
    )
