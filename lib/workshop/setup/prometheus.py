"""Prometheus: the machine's own, or Debian's program, taken out of its package.

A Debian package is an ``ar`` archive of tar files (deb(5)). The two programs in it need nothing but
glibc; nothing is installed, and no script of the package is run.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from workshop.core import versions as pins
from workshop.core.errors import SetupError
from workshop.setup import fetch, versions, wheels
from workshop.setup.disk import full_disk_is_clear
from workshop.setup.fetch import Away, File
from workshop.setup.found import Record
from workshop.setup.job import Job

PROGRAMS = ("prometheus", "promtool")
MAGIC = b"!<arch>\n"
HINT = (
    f"install prometheus {pins.PROMETHEUS_MINIMUM} or newer, or name a Debian mirror in "
    "DEBIAN_MIRROR, up to the folder that pool lies in"
)


def prometheus(job: Job) -> Record:
    """The machine's Prometheus when it is new enough and has promtool, else Debian's.

    Raises:
        SetupError: There is none for this machine.
        Away: No mirror gave the package.
    """
    job.say("looking for prometheus")
    env = job.context.env
    have = versions.on_path("prometheus", pins.PROMETHEUS_MINIMUM, env, "--version")
    if have and versions.on_path("promtool", pins.PROMETHEUS_MINIMUM, env, "--version"):
        return Record.of(have[0], f"prometheus {have[1]} of this machine")
    package = job.context.pins.prometheus.get(wheels.this_machine())
    if package is None:
        key = wheels.this_machine()
        raise SetupError(f"There is no prometheus to download for {key}.", hint=HINT)
    folder = job.folder("prometheus") / package.version
    if not folder.exists():
        _unpack(job, _download(job, package), folder)
    return Record.of(folder / "prometheus", f"prometheus {package.version} of Debian")


def promtool(program: Path) -> Path:
    """The tool that checks rules, beside the Prometheus that set-up found."""
    beside = program.with_name("promtool")
    return beside if beside.exists() else Path(shutil.which("promtool") or beside)


def _download(job: Job, package: pins.Package) -> Path:
    target = job.folder("downloads") / Path(package.path).name
    if target.exists():
        return target
    reasons = []
    for mirror in mirrors(job.context.env):
        job.say(f"downloading prometheus {package.version}")
        try:
            fetch.fetch(
                job.context,
                File(f"{mirror.rstrip('/')}/{package.path}", package.size, package.sha256),
                target,
                lambda done: job.measure(done, package.size),
                job.note,
            )
        except Away as error:
            reasons.append(error.reason)
        else:
            return target
    raise Away(
        "No Debian mirror gave prometheus.",
        state="; ".join(reasons) or "this machine knows none",
        hint=HINT,
    ).because(reasons[-1] if reasons else "no mirror is known")


def mirrors(env: Mapping[str, str]) -> list[str]:
    """The mirror that the user names, else those that apt of this machine uses."""
    if named := env.get("DEBIAN_MIRROR"):
        return [named]
    try:
        said = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages"],
            env=dict(env),
            capture_output=True,
            text=True,
            check=True,
            timeout=versions.ASK_SECONDS,
            stdin=subprocess.DEVNULL,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return list(dict.fromkeys(line for line in said.splitlines() if line.startswith("http")))


def _unpack(job: Job, package: Path, folder: Path) -> None:
    job.say("unpacking prometheus")
    fresh = folder.with_name(folder.name + ".new")
    with full_disk_is_clear(folder.parent):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name in extract(package, fresh):
            job.note(f"unpacked {name}")
    fresh.replace(folder)
    package.unlink(missing_ok=True)


def extract(package: Path, folder: Path) -> Iterator[str]:
    """Take the programs out of a package; gives the name of each when it is there.

    Raises:
        SetupError: It is no Debian package, or lacks one of them.
    """
    missing = set(PROGRAMS)
    with package.open("rb") as source:
        if source.read(len(MAGIC)) != MAGIC:
            raise SetupError(f"{package.name} is no Debian package.", where=str(package))
        while header := source.read(60):
            name, size = header[:16].decode().strip(" /"), int(header[48:58])
            begin = source.tell()
            if name.startswith("data.tar"):
                with tarfile.open(fileobj=source, mode="r|*") as tar:
                    for member in tar:
                        program = Path(member.name).name
                        if member.isfile() and member.name == f"./usr/bin/{program}":
                            content = tar.extractfile(member)
                            if program in missing and content:
                                with (folder / program).open("wb") as target:
                                    shutil.copyfileobj(content, target)
                                (folder / program).chmod(0o755)
                                missing.discard(program)
                                yield program
                break
            # A member begins at an even offset.
            source.seek(begin + size + size % 2)
    if missing:
        raise SetupError(f"{package.name} lacks {', '.join(sorted(missing))}.", where=str(package))
