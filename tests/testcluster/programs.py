"""The programs of the test cluster: built once from Go modules, and unpacked from Debian's.

They lie in the kit's cache by version, so that the second run builds nothing. Nothing is installed
on the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from workshop.core import files
from workshop.setup.components import cache_folder

from testcluster.pins import DEBIAN, KSERVE, PROGRAMS, STAGING, Program

Say = Callable[[str], None]

STAGED = re.compile(r"^\s*(k8s\.io/\S+) => \./staging/", re.M)


class Missing(Exception):
    """The test cluster cannot be had on this machine; the text says why."""


def need(*tools: str) -> None:
    """Make sure that the machine has these programs.

    Raises:
        Missing: It does not; names them all.
    """
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise Missing(f"there is no {', no '.join(missing)} on PATH")


def folder() -> Path:
    """Where everything of the test cluster is cached."""
    return cache_folder(os.environ) / "test-cluster"


@contextmanager
def making(what: str = "making") -> Iterator[None]:
    """Nobody else makes such a thing in the cache meanwhile: nodes side by side want the same."""
    folder().mkdir(parents=True, exist_ok=True)
    with files.turn(folder() / what):
        yield


def go_programs(say: Say, programs: tuple[Program, ...] = PROGRAMS) -> Path:
    """Build what is missing; gives the folder with these Go programs.

    Raises:
        Missing: There is no Go, or a build failed; with the end of what it said.
    """
    need("go")
    digest = hashlib.sha256(repr(programs).encode()).hexdigest()[:12]
    target = folder() / f"go-{digest}"
    target.mkdir(parents=True, exist_ok=True)
    for program in programs:
        for package in program.packages:
            # No lock for a program that is there already; images have a lock of their own.
            if not (target / name_of(package)).exists():
                with making("building"):
                    if not (target / name_of(package)).exists():
                        say(f"building {name_of(package)} {program.version}")
                        _build(program, package, target)
    return target


def name_of(package: str) -> str:
    """What a package's program is called: ``go.etcd.io/etcd/server/v3`` is etcd."""
    own = {"go.etcd.io/etcd/server/v3": "etcd", KSERVE.packages[0]: "kserve-manager"}
    return own.get(package, package.rsplit("/", 1)[-1])


def module_folder(module: str, version: str) -> Path:
    """The files of a Go module, in Go's own cache.

    Raises:
        Missing: It could not be downloaded.
    """
    argv = ["go", "mod", "download", "-json", f"{module}@{version}"]
    env = os.environ | {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=mod"}
    # Outside of any module: a go.mod here would be asked first.
    target = folder()
    target.mkdir(parents=True, exist_ok=True)
    said = subprocess.run(argv, cwd=target, env=env, capture_output=True, text=True, check=False)
    if said.returncode:
        raise Missing(f"{module} could not be downloaded: {said.stdout} {said.stderr}")
    return Path(json.loads(said.stdout)["Dir"])


def _build(program: Program, package: str, target: Path) -> None:
    env = os.environ | {
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -mod=mod".strip(),
    }
    source = target / f"source-{program.module.replace('/', '-')}"
    source.mkdir(exist_ok=True)
    if not (source / "go.mod").exists():
        _module(program, source, env)
    if program.main:
        (source / package).mkdir(exist_ok=True)
        (source / package / "main.go").write_text(program.main)
    fresh = target / f"{name_of(package)}.new"
    log = target / f"{name_of(package)}.log"
    with log.open("wb") as output:
        done = subprocess.run(
            ["go", "build", "-trimpath", "-ldflags", program.flags, "-o", fresh, package],
            cwd=source,
            env=env,
            stdout=output,
            stderr=output,
            check=False,
        )
    if done.returncode:
        raise Missing(f"{package} could not be built: {log.read_text()[-2000:]}")
    fresh.replace(target / name_of(package))


def _module(program: Program, source: Path, env: dict[str, str]) -> None:
    """A module that requires the program's, with the replacements that a library never has."""
    said = subprocess.run(
        ["go", "mod", "download", "-json", f"{program.module}@{program.version}"],
        cwd=source,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode:
        raise Missing(f"{program.module} could not be downloaded: {said.stdout} {said.stderr}")
    theirs = Path(json.loads(said.stdout)["GoMod"]).read_text(encoding="utf-8")
    version = re.search(r"^go (\S+)", theirs, re.M)
    lines = [
        "module testcluster",
        f"go {version.group(1) if version else '1.25'}",
        f"require {program.module} {program.version}",
        *(
            f"replace {module} => {module} {STAGING}"
            for module in sorted(set(STAGED.findall(theirs)))
        ),
    ]
    imports = "".join(f'import _ "{package}"\n' for package in program.packages)
    if not program.main:
        (source / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\n{imports}")
    (source / "go.mod").write_text("\n".join(lines) + "\n")


def debian_programs(say: Say) -> Path:
    """Unpack what is missing of Debian's packages; gives the root folder that they lie in.

    Raises:
        Missing: This is no Debian, or its package server does not answer.
    """
    need("apt-get", "dpkg")
    digest = hashlib.sha256(repr(DEBIAN).encode()).hexdigest()[:12]
    target = folder() / f"debian-{digest}"
    with making():
        if not target.exists():
            say(f"unpacking {', '.join(DEBIAN[:3])} of Debian")
            _unpack(target)
    return target


def _unpack(target: Path) -> None:
    fresh = target.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    packages = fresh / "packages"
    packages.mkdir(parents=True)
    fetch = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *DEBIAN]
    done = subprocess.run(fetch, cwd=packages, capture_output=True, text=True, check=False)
    if done.returncode:
        # A new machine has no list of packages yet.
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True, check=False)
        done = subprocess.run(fetch, cwd=packages, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"Debian's packages could not be fetched: {done.stderr.strip()[-500:]}")
    for package in sorted(packages.glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, fresh], check=True)
    shutil.rmtree(packages)
    fresh.rename(target)
