"""Which program of this machine is new enough, by really running it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

ASK_SECONDS = 10.0


def on_path(
    program: str, minimum: str, env: Mapping[str, str], *ask: str
) -> tuple[Path, str] | None:
    """The program on PATH and its version, when it runs and is at least ``minimum``.

    Args:
        program: Its name.
        minimum: For example ``"22.13"``.
        env: The environment variables; their PATH is searched.
        ask: The arguments that make it print its version.

    Returns:
        None when it is not there, does not run (a version manager's shim may not), or is too old.
    """
    path = shutil.which(program, path=env.get("PATH", ""))
    if path is None:
        return None
    try:
        said = subprocess.run(
            [path, *ask],
            env=dict(env),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ASK_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\d+(?:\.\d+)+", said)
    if found is None or number(found.group()) < number(minimum):
        return None
    return Path(path), found.group()


def number(version: str) -> tuple[int, ...]:
    """A version as numbers that compare.

    Example:
        >>> number("22.13") <= number("22.13.1") < number("24.0")
        True
    """
    return tuple(int(part) for part in version.split("."))
