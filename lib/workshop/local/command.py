"""The command line and the environment in which a part's software runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workshop.masked import Secret

INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE"),
    *("TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
)
"""What every part sees of this environment, and does not depend on. The rest stays out: it differs
from shell to shell, and a part must not depend on, or log, what somebody happens to have exported.
"""


@dataclass(frozen=True)
class Command:
    """How a part's software is run.

    Args:
        argv: Program and arguments; everybody on the machine can read them.
        env: Added to the inherited base; may hold secrets, and is never written to disk.
        cwd: The folder in which it runs.
        ports: The ports that it listens on, by name; ``main`` first.
        secrets: What must not stand in ``argv``.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: Path
    ports: Mapping[str, int]
    secrets: tuple[Secret, ...] = ()


def inherited() -> dict[str, str]:
    """The part of this process's environment that a part's software sees."""
    return exported(*INHERITED)


def exported(*names: str) -> dict[str, str]:
    """These variables, as far as they are set.

    One on which a part depends goes into the ``env`` of its command: a change then restarts it.
    """
    return {name: os.environ[name] for name in names if name in os.environ}


def refuse_secrets(command: Command) -> None:
    """Make sure that the command line, which everybody can read, holds none of its secrets.

    Raises:
        ValueError: It does; the text names the argument by its place, not by its content.
    """
    for place, argument in enumerate(command.argv):
        for secret in command.secrets:
            value = secret.reveal()
            # A short one, such as a user's own "test", may stand in a path by chance.
            pieces = {argument, argument.partition("=")[2]}
            if value in pieces or (len(value) >= 8 and value in argument):
                raise ValueError(
                    f"argument {place} of the command line holds a secret: hand it over in env"
                )
