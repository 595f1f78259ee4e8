"""Set-up: what the local target needs, installed once per machine into a cache.

``locate`` says where an installed thing is; ``ensure`` installs what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from workshop.setup import components
from workshop.setup.components import Context


def locate(name: str) -> Path:
    """Where an installed thing is. Fast: nothing is hashed and no program is run.

    The names: ``model-server``, ``ogx``, ``llama-stack`` (folders of environments), ``node``,
    ``mongodb`` (executables), ``mcp-server`` (its index.js), ``chat-weights``,
    ``embedding-weights`` (files), ``tokenizer`` (a folder). Raises ``SetupError`` where it is not
    installed, or no longer what set-up installed.
    """
    return components.locate(Context(), name)


def ensure(names: Iterable[str], *, report: Callable[[str], None]) -> None:
    """Install what is missing of these components, independent ones at the same time.

    ``names`` are as for ``locate``; ``report`` takes each line of progress, for example a
    ``progress.Stages``. Raises ``SetupError`` where a component could not be installed.

    Example:
        >>> with stages("Set-up") as stage:  # doctest: +SKIP
        ...     ensure(["llama-stack"], report=stage)
    """
    from workshop.setup.install import install
    from workshop.setup.lines import Lines

    install(Context(), names, Lines(report))
