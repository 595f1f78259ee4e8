"""What uv installs from a lock file, each file with its hash: an environment, or a plain folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from uv import find_uv_bin

from workshop.core import versions
from workshop.setup import found
from workshop.setup.disk import full_disk_is_clear
from workshop.setup.found import Record
from workshop.setup.job import Job, number
from workshop.setup.kit import base_python, uv_env

OPTIONS = ("--no-deps", "--no-build", "--require-hashes", "--python", sys.executable)


def environment(job: Job) -> Record:
    """One server's environment: exactly what its lock file names."""
    lock = job.context.sources / "environments" / f"{job.name}.txt"
    folder = job.folder("environments") / f"{job.name}-{found.key(job.context, job.name)}"
    with full_disk_is_clear(folder):
        job.say("making the environment")
        # A part of an interrupted one would be kept by uv: files that are cached cost seconds.
        shutil.rmtree(folder, ignore_errors=True)
    job.run(
        [find_uv_bin(), "venv", "--no-project", "--python", _python(job), folder],
        cwd=folder.parent,
        what=f"The environment of {job.name} could not be made",
        env=uv_env(job),
    )
    job.say("uv pip sync")
    python = folder / "bin" / "python"
    job.run(
        [find_uv_bin(), "pip", "sync", "--require-hashes", "--no-build", "--python", python, lock],
        cwd=folder,
        what=f"The packages of {job.name} could not be installed",
        env=uv_env(job) | {"UV_DEFAULT_INDEX": job.context.index},
    )
    return Record.of(folder, f"environment of {job.name}")


def unpacked(
    job: Job,
    name: str,
    folder: Path,
    *more: str,
    hint: str = "check the network, or name a mirror in UV_DEFAULT_INDEX; then run set-up again",
    look: Callable[[], None] | None = None,
) -> Path:
    """A folder with the files of packages that are not for Python; it appears when it is complete.

    Args:
        job: The installation that needs it.
        name: The lock file's name.
        folder: Where the files should be.
        more: Further options of ``uv pip install``.
        hint: What to do when it fails.
        look: Shows how far it is.
    """
    if folder.exists():
        return folder
    lock = job.context.sources / "environments" / f"{name}.txt"
    fresh = folder.with_name(folder.name + ".new")
    with full_disk_is_clear(folder.parent):
        shutil.rmtree(fresh, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
    job.run(
        [find_uv_bin(), "pip", "install", *OPTIONS, "--target", fresh, "-r", lock, *more],
        cwd=folder.parent,
        what=f"The packages of {name} could not be installed",
        env=uv_env(job) | {"UV_DEFAULT_INDEX": job.context.index},
        hint=hint,
        look=look,
    )
    fresh.replace(folder)
    return folder


def version_of(job: Job, name: str) -> str:
    """The version that a lock file of one package names."""
    text = (job.context.sources / "environments" / f"{name}.txt").read_text()
    return text.split()[0].partition("==")[2]


def _python(job: Job) -> str | Path:
    """This process's own Python, or one that is new enough for this server: found, or fetched."""
    wanted, env = versions.PYTHONS.get(job.name, versions.PYTHON), job.context.env
    if number(wanted) <= sys.version_info[:2]:
        return base_python()
    job.say(f"looking for Python {wanted}")
    # As bootstrap looks: a version manager's shim may be on PATH and not run.
    pyenv = Path(env.get("PYENV_ROOT") or f"{env.get('HOME', '')}/.pyenv") / "versions"
    for name in (f"python{wanted}", *map(str, pyenv.glob(f"{wanted}*/bin/python"))):
        if have := job.on_path(name, wanted, "--version"):
            return have[0]
    own = {
        "UV_PYTHON_DOWNLOADS": "manual",
        "UV_PYTHON_INSTALL_DIR": str(job.folder("pythons")),
        "UV_NO_PROGRESS": "1",
    }
    said = f"{job.name} needs Python {wanted} or newer"
    hint = f"install Python {wanted} so that python{wanted} is on PATH, then run set-up again"
    for word in ("install", "find"):
        argv = [find_uv_bin(), "python", word, "--managed-python", wanted]
        out = job.run(argv, cwd=job.context.cache, what=said, env=own, hint=hint)
    return out.strip().splitlines()[-1]
