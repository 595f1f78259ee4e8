"""The components: what set-up can install, what each builds on, and how much space it takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workshop.core.errors import SetupError
from workshop.setup import found
from workshop.setup.context import Context

MB = 1_000_000


@dataclass(frozen=True)
class Component:
    """One thing that set-up installs into the cache.

    Attributes:
        name: As on the command line.
        what: What it is, for people.
        install: The function that installs it and says where it is, as ``module:function`` below
            this package. Takes a ``Job``, gives a ``Record``.
        size: About how many bytes it takes on the disk while it is installed, measured.
        needs: Components that must be there before it can be installed.
    """

    name: str
    what: str
    install: str
    size: int
    needs: tuple[str, ...] = ()


KIT = "kit"
"""The notebooks' own environment, which is always installed, and first: the rest runs in it."""

# The slowest first: what needs the processor longest must not start last.
COMPONENTS = (
    Component("mongodb", "mongod, or else FerretDB", "programs:mongodb", 1_300 * MB),
    Component("node", "runs the MCP server", "programs:node", 270 * MB),
    Component("mcp-server", "the MongoDB MCP server", "programs:mcp_server", 350 * MB, ("node",)),
    Component("chat-weights", "the chat model", "weights:chat", 0),
    Component(
        "embedding-weights", "the embedder", "weights:embedding", 200 * MB, ("model-server",)
    ),
    Component("ogx", "the agent's server", "packages:environment", 600 * MB),
    Component("model-server", "serves the models", "packages:environment", 170 * MB),
    Component("tokenizer", "a file that the server needs at start", "weights:tokenizer", 5 * MB),
    Component("prometheus", "keeps the metrics of step 9", "programs:prometheus", 140 * MB),
    Component("llama-stack", "OGX's older form", "packages:environment", 800 * MB),
)
BY_NAME = {component.name: component for component in COMPONENTS}
CHOSEN = ("llama-stack",)
"""Installed when notebook 03 chooses it, or by ``./bootstrap --with``."""
DEFAULT = tuple(name for name in BY_NAME if name not in CHOSEN)
SPARE = ("prometheus",)
"""Without these, a set-up of the default is good all the same: the step that wants them is skipped
with the reason."""


def to_install(context: Context, names: Iterable[str]) -> list[Component]:
    """Which components must be installed for these names, with all that they build on.

    Raises:
        SetupError: A name is not a component's; lists all wrong names at once.
    """
    waiting = list(names)
    if unknown := sorted(set(waiting) - set(BY_NAME)):
        raise SetupError(
            f"There is no component {', '.join(unknown)}.",
            hint=f"choose from {', '.join(sorted(BY_NAME))}",
        )
    wanted: set[str] = set()
    while waiting:
        component = BY_NAME[waiting.pop()]
        if component.name not in wanted and found.fault(context, component.name):
            wanted.add(component.name)
            waiting.extend(component.needs)
    return [component for component in COMPONENTS if component.name in wanted]


def space(context: Context, component: Component) -> int:
    """About how many bytes this component will take."""
    if found.own_file(context, component.name):
        return 0
    # The file itself, and the packages that it is joined from.
    file = found.weights(context, component.name)
    return component.size + (2 * file.size if file else 0)
