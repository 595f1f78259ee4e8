"""The kit's own environment, which everything else of set-up runs in: uv, and what uv.lock names.

Only the standard library is used here, and below: it runs before anything is installed.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import platform
import re
import shutil
import sys
import urllib.request
import zipfile
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from workshop.core import versions
from workshop.core.errors import SetupError
from workshop.setup.disk import copy_writable, full_disk_is_clear
from workshop.setup.job import UV_CACHE, Job

WHAT = "The kit's own environment could not be installed"
ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
SECONDS = 15.0
"""How long the package index may be silent."""


def install(job: Job) -> None:
    """Bring ``.venv`` in line with uv.lock.

    Raises:
        SetupError: There is no uv and none can be fetched, or uv failed.
    """
    folder = job.context.checkout / ".venv"
    uv = _uv(job)
    _remove_copied(job, folder)
    if job.context.spare:
        if _is_in_sync(job, uv, folder):
            return
        _borrow_packages(job)
    named = job.context.named_index
    if named and named.rstrip("/") != job.context.locked_index.rstrip("/"):
        return _from_mirror(job, uv, folder)
    job.say("uv sync")
    python = [] if (folder / "bin" / "python").exists() else ["--python", base_python()]
    _run(job, [uv, "sync", "--locked", "--all-groups", *python])


def base_python() -> str:
    """The interpreter that this process's environment was made from, or this one."""
    return getattr(sys, "_base_executable", None) or sys.executable


def uv_env(job: Job) -> dict[str, str]:
    """What uv is told by environment variables."""
    own = {
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "VIRTUAL_ENV": "",
        "UV_PROJECT_ENVIRONMENT": "",
    }
    named = job.context.named_index
    return own | ({"UV_DEFAULT_INDEX": named} if named else {})


def _uv(job: Job) -> Path:
    """The machine's uv when it is new enough, the environment's own, or one that is fetched."""
    job.say("looking for uv")
    pinned = (job.context.sources / "environments" / "uv.txt").read_text()
    name = Path("uv", pinned.split()[0].replace("==", "-"))
    own = job.context.checkout / ".venv" / "bin" / "uv"
    for there in (Path("uv"), own, job.context.cache / name):
        if have := job.on_path(str(there), versions.UV_MINIMUM, "--version"):
            return have[0]
    job.say("downloading uv")
    program = job.folder("uv") / name.name
    with full_disk_is_clear(program.parent), zipfile.ZipFile(_wheel(job, pinned)) as wheel:
        member = next(each for each in wheel.namelist() if each.endswith("/scripts/uv"))
        fresh = program.with_suffix(".new")
        fresh.write_bytes(wheel.read(member))
        fresh.chmod(0o755)
        fresh.replace(program)
    return program


def _wheel(job: Job, pinned: str) -> io.BytesIO:
    """The wheel of uv for this machine, from the package index, when its hash is a pinned one.

    The index is asked as https://peps.python.org/pep-0691/ says, with the older HTML page as the
    fallback.
    """
    page = f"{job.context.index.rstrip('/')}/uv/"
    hint = f"install uv {versions.UV_MINIMUM} or newer, or name a mirror in UV_DEFAULT_INDEX"
    shown = urlunsplit(urlsplit(page)._replace(netloc=urlsplit(page).netloc.rpartition("@")[2]))
    version = re.escape(pinned.split()[0].partition("==")[2])
    try:
        kind, body = _get(page)
        links = re.findall(r'href="([^"#]+)', body.decode(errors="replace"))
        if "json" in kind:
            links = [str(file["url"]) for file in json.loads(body)["files"]]
        mine = [link for link in links if re.search(f"/uv-{version}-.*whl$", link) and _fits(link)]
        if not mine:
            raise SetupError(
                "The package index has no uv for this machine.", where=shown, hint=hint
            )
        _kind, wheel = _get(_with_login(urljoin(page, mine[0]), page))
    except (OSError, ValueError) as error:
        raise SetupError(
            "The package index did not give uv.", where=shown, state=str(error), hint=hint
        ) from error
    if (seen := hashlib.sha256(wheel).hexdigest()) not in pinned:
        raise SetupError("uv's wheel has the wrong hash.", where=shown, state=f"sha256 {seen}")
    return io.BytesIO(wheel)


def _fits(link: str) -> bool:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    if platform.system() == "Darwin":
        return f"{'arm64' if machine == 'aarch64' else machine}.whl" in link and "macosx" in link
    libc = "manylinux" if platform.libc_ver()[0] == "glibc" else "musllinux"
    return link.endswith(f"_{machine}.whl") and libc in link


def _get(url: str) -> tuple[str, bytes]:
    """What kind of page a URL has, and its content; with the login that may stand in the URL."""
    login, _, host = urlsplit(url).netloc.rpartition("@")
    bare = urlunsplit(urlsplit(url)._replace(netloc=host))
    request = urllib.request.Request(bare, headers={"Accept": ACCEPT})  # noqa: S310
    if login:
        # Unredirected: another server that this one points to must not see the password.
        basic = base64.b64encode(unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {basic}")
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        return answer.headers.get("Content-Type", ""), answer.read()


def _with_login(url: str, page: str) -> str:
    """Keep the index's name and password for files on the same server, and for no other."""
    login, at, host = urlsplit(page).netloc.rpartition("@")
    split = urlsplit(url)
    return (
        urlunsplit(split._replace(netloc=f"{login}@{host}")) if at and split.netloc == host else url
    )


def _remove_copied(job: Job, folder: Path) -> None:
    """Remove an environment that came here with a copied or moved checkout.

    Its programs name the Python, and so lead to the library, of the folder where it was made; uv
    makes none of them anew but the kit's own.
    """
    script = folder / "bin" / "workshop"
    if not script.exists() or str(folder / "bin" / "python") in script.read_text(errors="replace"):
        return
    job.say("the environment was made for another folder; making it again")
    shutil.rmtree(folder)


def _from_mirror(job: Job, uv: Path, folder: Path) -> None:
    """Install what uv.lock names, with its hashes, from the user's own index.

    uv takes a lock file for outdated when another index than the lock's is the default.
    """
    job.say("uv sync from the index that UV_DEFAULT_INDEX or PIP_INDEX_URL names")
    python = folder / "bin" / "python"
    names = job.folder("environments") / "kit.txt"
    chosen = ("--frozen", "--all-groups", "--no-emit-project", "--no-header", "--no-annotate")
    _run(job, [uv, "export", *chosen, "--quiet", "--output-file", names])
    if not python.exists():
        _run(job, [uv, "venv", "--clear", "--python", base_python(), folder])
    _run(job, [uv, "pip", "sync", "--require-hashes", "--python", python, names])
    _run(job, [uv, "pip", "install", "--no-deps", "--python", python, "--editable", "."])


def _is_in_sync(job: Job, uv: Path, folder: Path) -> bool:
    """Whether there is nothing to install; asked without the cache."""
    if not (folder / "bin" / "python").exists():
        return False
    try:
        _run(job, [uv, "sync", "--locked", "--all-groups", "--check", "--offline"])
    except SetupError:
        return False
    return True


def _borrow_packages(job: Job) -> None:
    """Give uv a cache that it can write, with the packages of the one that it cannot.

    uv 0.13 opens a lock beside whatever it reads. Its archives, which are nearly all of it, are
    not copied but linked to; uv then copies the files that the links lead to.
    """
    source, target = job.context.cache / UV_CACHE, job.context.writable / UV_CACHE
    if not source.is_dir() or job.context.env.get("UV_CACHE_DIR"):
        return

    def lend(path: str, to: str) -> None:
        if "/archive-v0/" in path:
            Path(to).symlink_to(path)
        else:
            shutil.copyfile(path, to)

    job.say("taking the packages from the cache, which is read-only")
    copy_writable(source, target, lend)


def _run(job: Job, argv: list[str | Path]) -> None:
    env = uv_env(job)
    run = partial(job.run, argv, cwd=job.context.checkout, what=WHAT)
    if job.context.spare:
        env["UV_LINK_MODE"] = "copy"
        # All is there as a rule, and there may be no network.
        with contextlib.suppress(SetupError):
            run(env={**env, "UV_OFFLINE": "1"})
            return
    run(env=env)
