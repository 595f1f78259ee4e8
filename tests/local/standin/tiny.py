"""The local target with real child servers in place of the parts' own software."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
from serving import SERVERS
from workshop.clients import http
from workshop.core.errors import EndpointError
from workshop.core.progress import Stages
from workshop.core.settings import Settings
from workshop.core.wait import NotYet
from workshop.parts.catalog import ALL
from workshop.targets.base import Deployed, Endpoint, Part
from workshop.targets.local.process import MARKER, Command
from workshop.targets.local.programs import Program
from workshop.targets.local.target import LocalTarget


def server(*flags: str) -> Program:
    """servers/server.py as a part: settings, secrets and needs go in by environment."""

    def command(part: Part, ports: Mapping[str, int], folder: Path) -> Command:
        env = {name.upper(): str(value) for name, value in part.settings.items()}
        env |= {name.upper(): secret.reveal() for name, secret in part.secrets.items()}
        for name, needed in part.needs.items():
            env |= {f"{name}_url": needed.url}
            env |= {f"{name}_token": needed.token.reveal()} if needed.token else {}
        argv = (sys.executable, str(SERVERS / "server.py"), f"--port={ports['main']}", *flags)
        return Command(argv, env, folder, ports)

    return command


def target(tmp_path: Path, **programs: Program) -> LocalTarget:
    """A local target whose parts are tiny servers, but for those that are given."""
    tiny = dict.fromkeys(ALL.on("local"), server())
    given = {name.replace("_", "-"): program for name, program in programs.items()}
    return LocalTarget(Settings(state=tmp_path / "state"), ALL, tiny | given)


def ready(endpoint: Endpoint) -> object:
    """As the parts' own do: a real request, and not yet until it is answered."""
    try:
        return http.call(endpoint, "/", timeout=0.5)
    except EndpointError as error:
        return NotYet(error.what)


def ensure(where: LocalTarget, part: Part, *, timeout: float = 20) -> Deployed:
    return where.ensure(part, ready=ready, timeout=timeout, stage=Stages(part.name))


def environment_of(endpoint: Endpoint) -> dict[str, str]:
    """What a tiny server sees of its environment."""
    found: dict[str, str] = http.call(endpoint, "/").json["env"]
    return found


def pid_of(where: LocalTarget, name: str) -> int:
    """Of the part's process, by its own answer."""
    pid: int = http.call(where.find(name), "/").json["pid"]
    return pid


def ours(where: LocalTarget) -> Iterator[psutil.Process]:
    """All processes of this target's parts."""
    for process in psutil.process_iter():
        try:
            marker = process.environ().get(MARKER, "")
        except (psutil.Error, OSError):
            continue
        if marker.startswith(f"{where.store.root.resolve()}{os.sep}"):
            yield process
