"""The kit's own environment, which everything else of set-up runs in: uv, and what uv.lock names.

Only the standard library is used here, and in what it imports: it runs before anything is
installed.
"""

import base64
import hashlib
import io
import platform
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from workshop.core import versions
from workshop.core.errors import SetupError
from workshop.setup.components import KIT, Context
from workshop.setup.job import CACHES, Job, alone, closed, copy_writable
from workshop.setup.lines import Lines

DEV = ("--all-groups",)  # What the tests need, too.
USE = ("--no-dev", "--inexact")
WHAT = "The kit's own environment could not be installed"
PYPI = "https://pypi.org/simple"
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
SECONDS = 15.0
"""How long the package index may be silent."""


def sync(context: Context, lines: Lines, *, dev: bool = False) -> None:
    """Bring ``.venv`` in line with uv.lock; also beside a cache that is read-only.

    ``dev``: with what the tests need. Without it, developers' tools that are there stay. Raises
    ``SetupError`` where there is no uv and none can be fetched, or uv failed.
    """
    lender, groups = context.cache, DEV if dev else USE
    with tempfile.TemporaryDirectory(prefix="workshop-setup-") as spare:
        if read_only := closed(lender):
            env = {**context.env, "UV_LINK_MODE": "copy"}
            context = replace(context, cache=Path(spare), env=env)
        with alone(context, KIT, lines) as job:
            uv = _uv(job, lender)
            _remove_copied(job)
            if not read_only:
                _sync(job, uv, groups)
            elif not _is_in_sync(job, uv, groups):
                _borrow_packages(job, lender)
                # All is there as a rule, and there may be no network.
                try:
                    _sync(job, uv, groups, UV_OFFLINE="1")
                except SetupError:
                    _sync(job, uv, groups)
    lines.end(KIT, "the kit")


def base_python() -> str:
    """The interpreter that this process's environment was made from, or this one."""
    return getattr(sys, "_base_executable", None) or sys.executable


def _sync(job: Job, uv: Path, groups: Sequence[str], **env: str) -> None:
    def run(*words: str | Path) -> None:
        job.run([uv, *words], cwd=checkout, what=WHAT, env=env)

    checkout, index = job.context.checkout, job.context.index.rstrip("/")
    python = checkout / ".venv" / "bin" / "python"
    made = () if python.exists() else ("--python", base_python())
    if not index or f'registry = "{index}"' in (checkout / "uv.lock").read_text():
        job.say("uv sync")
        run("sync", "--locked", *groups, *made)
        return
    # uv takes a lock file for outdated when another index than the lock's is the default.
    job.say("uv sync from the index that UV_DEFAULT_INDEX or PIP_INDEX_URL names")
    names = job.folder("environments") / "kit.txt"
    chosen = ("--frozen", groups[0], "--no-emit-project", "--no-header", "--no-annotate")
    run("export", *chosen, "--quiet", "--output-file", names)
    if made:
        run("venv", "--clear", *made, ".venv")
    how = ("sync",) if groups is DEV else ("install", "-r")
    run("pip", how[0], "--require-hashes", "--python", python, *how[1:], names)
    run("pip", "install", "--no-deps", "--python", python, "--editable", ".")


def _is_in_sync(job: Job, uv: Path, groups: Sequence[str]) -> bool:
    """Whether there is nothing to install; asked without the cache."""
    words: list[str | Path] = [uv, "sync", "--locked", *groups, "--check", "--offline"]
    try:
        job.run(words, cwd=job.context.checkout, what=WHAT)
    except SetupError:
        return False
    return True


def _remove_copied(job: Job) -> None:
    """Remove an environment that came here with a copied or moved checkout.

    Its programs name the Python, and so lead to the library, of the folder where it was made; uv
    makes none of them anew but the kit's own.
    """
    folder = job.context.checkout / ".venv"
    script = folder / "bin" / "workshop"
    if script.exists() and str(folder / "bin" / "python") not in script.read_text(errors="replace"):
        job.say("the environment was made for another folder; making it again")
        shutil.rmtree(folder)


def _borrow_packages(job: Job, lender: Path) -> None:
    """Give uv a cache that it can write, with the packages of the one that it cannot.

    uv 0.13 opens a lock beside whatever it reads. Its archives, which are nearly all of it, are
    not copied but linked to; uv then copies the files that the links lead to.
    """
    source = lender / CACHES["UV_CACHE_DIR"]
    if not source.is_dir() or job.context.env.get("UV_CACHE_DIR"):
        return

    def lend(path: str, to: str) -> None:
        if "/archive-v0/" in path:
            Path(to).symlink_to(path)
        else:
            shutil.copyfile(path, to)

    job.say("taking the packages from the cache, which is read-only")
    copy_writable(source, job.context.cache / source.name, lend)


def _uv(job: Job, cache: Path) -> Path:
    """The machine's uv when it is new enough, the environment's own, or one that is fetched."""
    job.say("looking for uv")
    pinned = job.context.lock_file("uv").read_text()
    version = pinned.split()[0].partition("==")[2]
    own = job.context.checkout / ".venv" / "bin" / "uv"
    for there in (Path("uv"), own, cache / "uv" / f"uv-{version}"):
        if have := job.on_path(str(there), versions.UV_MINIMUM, "--version"):
            return have[0]
    job.say("downloading uv")
    program = job.folder("uv") / f"uv-{version}"
    with zipfile.ZipFile(io.BytesIO(_wheel(job, version, pinned))) as wheel:
        member = next(each for each in wheel.namelist() if each.endswith("/scripts/uv"))
        fresh = program.with_suffix(".new")
        fresh.write_bytes(wheel.read(member))
        fresh.chmod(0o755)
        fresh.replace(program)
    return program


def _wheel(job: Job, version: str, pinned: str) -> bytes:
    """The wheel of uv for this machine, from the package index, when its hash is a pinned one.

    The index is asked as https://peps.python.org/pep-0503/ says: for a page with links.
    """
    split = urlsplit(f"{(job.context.index or PYPI).rstrip('/')}/uv/")
    login, _, host = split.netloc.rpartition("@")
    page = urlunsplit(split._replace(netloc=host))
    hint = f"install uv {versions.UV_MINIMUM} or newer, or name a mirror in UV_DEFAULT_INDEX"

    def get(url: str) -> bytes:
        request = Request(url, headers={"Accept": "text/html"})  # noqa: S310
        if login and urlsplit(url).netloc == host:
            # Unredirected: another server that this one points to must not see the password.
            basic = base64.b64encode(unquote(login).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {basic}")
        with urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            content: bytes = answer.read()
        return content

    try:
        links = re.findall(r'href="([^"#]+)', get(page).decode(errors="replace"))
        file = re.compile(f"/uv-{re.escape(version)}-.*whl$")
        mine = [link for link in links if file.search(link) and _fits(link)]
        if not mine:
            raise SetupError("The package index has no uv for this machine.", where=page, hint=hint)
        wheel = get(urljoin(page, mine[0]))
    except (OSError, ValueError) as error:
        raise SetupError(
            "The package index did not give uv.", where=page, state=str(error), hint=hint
        ) from error
    if (seen := hashlib.sha256(wheel).hexdigest()) not in pinned:
        raise SetupError("uv's wheel has the wrong hash.", where=page, state=f"sha256 {seen}")
    return wheel


def _fits(link: str) -> bool:
    if platform.system() == "Darwin":
        mine = "arm64" if MACHINE == "aarch64" else MACHINE
        return "macosx" in link and link.endswith(f"{mine}.whl")
    libc = "manylinux" if platform.libc_ver()[0] == "glibc" else "musllinux"
    return link.endswith(f"_{MACHINE}.whl") and libc in link
