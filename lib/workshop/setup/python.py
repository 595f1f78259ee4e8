"""uv, the kit's own environment, and the environments of the servers, pinned with hashes."""

from __future__ import annotations

import contextlib
import shutil
import sys
from functools import partial
from pathlib import Path

from workshop.core import versions as pins
from workshop.core.errors import SetupError
from workshop.setup import found, index, versions, wheels
from workshop.setup.disk import copy_writable, full_disk_is_clear
from workshop.setup.found import Record
from workshop.setup.job import UV_CACHE, Job

KIT = "The kit's own environment could not be installed"


def uv(job: Job) -> Record:
    """The machine's uv when it is new enough, else the one from its wheel."""
    job.say("looking for uv")
    have = versions.on_path("uv", pins.UV_MINIMUM, job.context.env, "--version")
    if have:
        return Record.of(have[0], f"uv {have[1]} of this machine")
    wheel = wheels.for_this_machine(
        job.context.pins.uv, "uv", f"install uv {pins.UV_MINIMUM} or newer"
    )
    folder = wheels.unpacked(job, wheel, job.folder("uv") / wheel.version)
    return Record.of(next(folder.glob("uv-*.data/scripts/uv")), f"uv {wheel.version}")


def kit(job: Job) -> Record:
    """The kit's own environment in the checkout, as uv.lock says."""
    folder = job.context.checkout / ".venv"
    _remove_copied(job, folder)
    if job.context.spare:
        if _is_in_sync(job, folder):
            return Record.of(folder, "the kit")
        _borrow_packages(job)
    if index.is_mirror(job.context.env, job.context.checkout):
        _kit_from_mirror(job, folder)
    else:
        job.say("uv sync")
        argv = [_uv(job), "sync", "--locked", "--all-groups"]
        if not (folder / "bin" / "python").exists():
            argv += ["--python", _base_python()]
        _run(job, argv, KIT)
    return Record.of(folder, "the kit")


def _remove_copied(job: Job, folder: Path) -> None:
    """Remove an environment that came here with a copied or moved checkout.

    Its programs name the Python, and so lead to the library, of the folder where it was made; uv
    makes none of them anew but the kit's own.
    """
    script = folder / "bin" / "workshop"
    if not script.exists() or str(folder / "bin" / "python") in script.read_text(errors="replace"):
        return
    job.note("the environment was made for another folder; making it again")
    shutil.rmtree(folder)


def _kit_from_mirror(job: Job, folder: Path) -> None:
    """Install what uv.lock names, with its hashes, from the user's own index.

    uv takes a lock file for outdated when another index than the lock's is the default.
    """
    job.say("uv sync from the index that UV_DEFAULT_INDEX or PIP_INDEX_URL names")
    uv, python = _uv(job), folder / "bin" / "python"
    names = job.folder("environments") / "kit.txt"
    chosen = ("--frozen", "--all-groups", "--no-emit-project", "--no-header", "--no-annotate")
    _run(job, [uv, "export", *chosen, "--quiet", "--output-file", names], KIT)
    if not python.exists():
        _run(job, [uv, "venv", "--clear", "--python", _base_python(), folder], KIT)
    _run(job, [uv, "pip", "sync", "--require-hashes", "--python", python, names], KIT)
    _run(job, [uv, "pip", "install", "--no-deps", "--python", python, "--editable", "."], KIT)


def _is_in_sync(job: Job, folder: Path) -> bool:
    """Whether there is nothing to install; asked without the cache."""
    if not (folder / "bin" / "python").exists():
        return False
    try:
        _run(job, [_uv(job), "sync", "--locked", "--all-groups", "--check", "--offline"], KIT)
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


def _run(job: Job, argv: list[str | Path], what: str) -> None:
    env = _uv_env(job)
    run = partial(job.run, argv, cwd=job.context.checkout, what=what)
    if job.context.spare:
        env["UV_LINK_MODE"] = "copy"
        # All is there as a rule, and there may be no network.
        with contextlib.suppress(SetupError):
            run(env={**env, "UV_OFFLINE": "1"})
            return
    run(env=env)


def environment(job: Job) -> Record:
    """One server's environment: exactly what its lock file names, each file with its hash."""
    lock = job.context.sources / "environments" / f"{job.name}.txt"
    folder = job.folder("environments") / f"{job.name}-{found.key(job.context, job.name)}"
    with full_disk_is_clear(folder):
        job.say("making the environment")
        # A part of an interrupted one would be kept by uv: files that are cached cost seconds.
        shutil.rmtree(folder, ignore_errors=True)
    job.run(
        [_uv(job), "venv", "--no-project", "--python", _python(job), folder],
        cwd=folder.parent,
        what=f"The environment of {job.name} could not be made",
        env=_uv_env(job),
    )
    job.say("uv pip sync")
    python = folder / "bin" / "python"
    job.run(
        [_uv(job), "pip", "sync", "--require-hashes", "--no-build", "--python", python, lock],
        cwd=folder,
        what=f"The packages of {job.name} could not be installed",
        env={**_uv_env(job), "UV_DEFAULT_INDEX": job.index},
    )
    return Record.of(folder, f"environment of {job.name}")


def _python(job: Job) -> str | Path:
    """This process's own Python, or one that is new enough for this server: found, or fetched."""
    wanted, env = pins.PYTHONS.get(job.name, pins.PYTHON), job.context.env
    if versions.number(wanted) <= sys.version_info[:2]:
        return _base_python()
    job.say(f"looking for Python {wanted}")
    # As bootstrap looks: a version manager's shim may be on PATH and not run.
    pyenv = Path(env.get("PYENV_ROOT") or f"{env.get('HOME', '')}/.pyenv") / "versions"
    for name in (f"python{wanted}", *map(str, pyenv.glob(f"{wanted}*/bin/python"))):
        if have := versions.on_path(name, wanted, env, "--version"):
            return have[0]
    own = {
        "UV_PYTHON_DOWNLOADS": "manual",
        "UV_PYTHON_INSTALL_DIR": str(job.folder("pythons")),
        "UV_NO_PROGRESS": "1",
    }
    chosen, said = ("--managed-python", wanted), f"{job.name} needs Python {wanted} or newer"
    hint = f"install Python {wanted} so that python{wanted} is on PATH, then run set-up again"
    for word in ("install", "find"):
        argv = [_uv(job), "python", word, *chosen]
        out = job.run(argv, cwd=job.context.cache, what=said, env=own, hint=hint)
    return out.strip().splitlines()[-1]


def _uv(job: Job) -> str | Path:
    return found.locate(job.context, "uv")


def _base_python() -> str:
    """The interpreter that this process's environment was made from, or this one."""
    return getattr(sys, "_base_executable", None) or sys.executable


def _uv_env(job: Job) -> dict[str, str]:
    env = {
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "VIRTUAL_ENV": "",
        "UV_PROJECT_ENVIRONMENT": "",
    }
    if index.configured(job.context.env):
        env["UV_DEFAULT_INDEX"] = job.index
    return env
