"""How each part's software runs as a process: one module per part, of its name.

A program turns a part's settings, secrets and needs into a command line and an environment, and
writes the configuration files that the program reads. Files hold no secret, but for the tokens that
Prometheus reads from files alone: those have the mode 0600.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from workshop.core import files
from workshop.core.errors import SetupError
from workshop.core.progress import stages
from workshop.setup import ensure, locate
from workshop.targets.base import Part
from workshop.targets.local.process import Command
from workshop.targets.spec import module_of

DATA = "data"
"""The folder, inside a control folder, of what outlives a clean-up that keeps the data."""

SPARED = "prometheus"
"""The part without which the others work. Its program cannot be had everywhere."""

Program = Callable[[Part, Mapping[str, int], Path], Command]
"""Takes a part, its ports by name and its control folder; says how to run it."""


def installed(name: str) -> Path:
    """What set-up leaves for later, such as Llama Stack: installed when it is first wanted.

    Raises ``SetupError`` where it cannot be had on this machine, and says why.
    """
    try:
        return locate(name)
    except SetupError:
        with stages("Set-up") as stage:
            ensure([name], report=stage)
        return locate(name)


def missing(name: str) -> str | None:
    """Why the program of the part that can be spared cannot be had here; None for all others."""
    if name != SPARED:
        return None
    try:
        installed(name)
    except SetupError as error:
        return f"{error.what.rstrip('.')}: {error.hint}" if error.hint else error.what
    return None


def command(
    part: Part, ports: Mapping[str, int], folder: Path, program: Program | None = None
) -> Command:
    """How to run this part: by this program, or else by ``command`` of the module of its name.

    Raises ``SettingsError`` where there is no program for the part, ``SetupError`` where it is not
    installed, and ``WorkshopError`` where its configuration cannot be written.
    """
    if program is None:
        lacking = f"The local target has no program for {part.name}."
        program = module_of(part.name, __name__, lacking).command
    ends = [secret for end in part.needs.values() for secret in (end.token, end.password)]
    secrets = tuple(filter(None, (*part.secrets.values(), *ends)))
    with files.writing(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return replace(program(part, ports, folder), ports=ports, secrets=secrets)
