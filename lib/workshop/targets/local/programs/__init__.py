"""How each part's software runs as a process: one module a program.

A program turns a part's settings, secrets and needs into a command line and an environment, and
writes the configuration files that the program reads. Files hold no secret, but for the tokens that
Prometheus reads from files alone: those have the mode 0600.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from workshop.core import files
from workshop.core.errors import SettingsError, SetupError
from workshop.core.progress import stages
from workshop.setup import ensure, locate
from workshop.targets.base import Part
from workshop.targets.local.process import Command

DATA = "data"
"""The folder, inside a control folder, of what outlives a clean-up that keeps the data."""

Program = Callable[[Part, Mapping[str, int], Path], Command]
"""Takes a part, its ports by name and its control folder; says how to run it."""


def known() -> dict[str, Program]:
    """The program of each part, by the part's name."""
    # They import this module.
    from workshop.targets.local.programs import (
        collector,
        llama_stack,
        llamacpp,
        mcp_server,
        mongodb,
        prometheus,
    )

    return {
        "model": llamacpp.command,
        "embedder": llamacpp.command,
        "collector": collector.command,
        "llama-stack": llama_stack.command,
        "mongodb": mongodb.command,
        "mcp-server": mcp_server.command,
        "prometheus": prometheus.command,
    }


def installed(name: str) -> Path:
    """What set-up leaves for later, such as Llama Stack: installed when it is first wanted.

    Raises:
        SetupError: It cannot be had on this machine; says why.
    """
    try:
        return locate(name)
    except SetupError:
        with stages("Set-up") as stage:
            ensure([name], report=stage)
        return locate(name)


def missing(name: str) -> str | None:
    """Why a part's program cannot be had here, or None; asked of the one that can be spared."""
    from workshop.targets.local.programs import prometheus

    if name != prometheus.NAME:
        return None
    try:
        installed(name)
    except SetupError as error:
        return f"{error.what.rstrip('.')}: {error.hint}" if error.hint else error.what
    return None


def command(
    part: Part,
    ports: Mapping[str, int],
    folder: Path,
    programs: Mapping[str, Program] | None = None,
) -> Command:
    """How to run this part here.

    Args:
        part: The part.
        ports: Its ports by name.
        folder: Its control folder; made when it is missing.
        programs: By part name; those that the kit knows when left out.

    Raises:
        SetupError: Its software is not installed.
        SettingsError: No program is known for the part.
        WorkshopError: Its configuration cannot be written.
    """
    programs = known() if programs is None else programs
    if part.name not in programs:
        raise SettingsError(
            f"The local target has no program for {part.name}.",
            state="it has: " + ", ".join(programs),
        )
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return programs[part.name](part, ports, folder)
    except OSError as error:
        raise files.not_written(folder, error) from error
