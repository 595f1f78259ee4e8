"""What the kit knows of a part before it is deployed: its place among the others, how it is asked.

Each module of ``workshop.parts`` ends with the ``SPEC`` of its part, and ``catalog.ALL`` has them
all. How a part's software runs is none of this: each target has a module for it, of the part's name
(``targets/local/programs`` and ``targets/cluster/manifests``).
"""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from workshop.core.checks import Checks
from workshop.core.errors import SettingsError
from workshop.core.progress import Stages
from workshop.core.secret import Secret
from workshop.targets import network
from workshop.targets.base import Endpoint, Part, Ready, Target
from workshop.targets.network import Matrix, Peer, Shape, Tried, Way

Rotate = Callable[[Target, Sequence[Secret], float, Stages], Sequence[Callable[[], object]]]
"""Gives a part new credentials, where that takes more than to deploy it again: takes the old ones,
seconds and the progress; gives questions with the old ones, to be refused."""

Prestart = Callable[[Target, Mapping[str, Any], Mapping[str, Endpoint]], Iterable[Part]]
"""The parts to start before a notebook runs, by that one's parameters and by the endpoints of those
that were started."""


@dataclass(frozen=True)
class Page:
    """A page of metrics, which Prometheus reads."""

    part: str  # Whose metrics they are; the label ``part`` of every sample names it.
    at: str  # The part whose process answers: Llama Stack's metrics are the collector's page.
    port: int  # Of the pods on a cluster; a local part's own may differ.
    path: str = "/metrics"
    also: str = ""  # The name in ``Endpoint.also``; "" for the part's main address.
    token: bool = False  # Whether the part's token must be sent.
    exporter: str = ""  # The pods ``beside`` the part that have the page, where it has none itself.
    server: str = ""  # Of the two servers of the agent's API, the one that has it; "" for any.


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A part. A target reads the fields before ``needs``, commands and notebooks all of them."""

    name: str  # With ``_`` for ``-``, that of its modules in the targets too.
    notebook: str  # The one that deploys it.
    # The targets on which it is software of its own; none for GPU nodes, or a registration.
    on: tuple[str, ...] = ("local", "cluster")
    port: int = 0  # The architecture's; 0 where it has none.
    # On a cluster, the labels of its pods, one set per generation of its operator; else the label
    # ``app`` with its name, as the further pods ``beside`` it have, such as a job's.
    pods: tuple[Mapping[str, str], ...] = ()
    beside: tuple[str, ...] = ()
    # The parts that it cannot work without, and words for what parts rest on.
    needs: tuple[str, ...] = ("cluster", "permissions")
    # What it is for: every answer, answers about the data alone, or watching the others; "" where
    # nothing fails without it.
    serves: Literal["answers", "data", "watching", ""] = ""
    order: int = 0  # Its place among the parts that a question passes; 0 where none passes it.
    page: Page | None = None
    credentials: tuple[str, ...] = ()  # The names of those that are rotated together.
    callers: tuple[str, ...] = ()  # Who sends them: parts, or a word for somebody else.
    if_refused: str = ""  # What to do when they are refused, if the error does not say it.
    # What it was deployed as last. Parts that have this can have more replicas.
    part: Callable[[Target], Part] | None = None
    ready: Ready | None = None
    # Deploys it as it was last, where that takes more than ``part`` and ``ready``.
    redeploy: Callable[[Target, float], object] | None = None
    rotate: Rotate | None = None
    # What it says to who has no credential: begins with ``refused``, ``unauthorized``.
    refusal: Callable[[Target], str] | None = None
    secured: Callable[[Target, Checks], object] | None = None  # Adds checks to notebook 08.
    # What the doctor asks it; raises when it is not well, may give a text to show.
    examine: Callable[[Target], object] | None = None
    prestart: Prestart | None = None

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Its pods, and those beside it, as the network knows them."""
        if not self.on:
            return ()
        own = Peer(self.name, self.pods or ({"app": self.name},))
        return (own, *(Peer(name, ({"app": name},)) for name in self.beside))


class Parts(tuple[Spec, ...]):
    """Parts in the order of the sequence: each needs earlier ones alone, and is stopped before."""

    __slots__ = ()

    def get(self, name: str) -> Spec | None:
        """The part of this name, or None."""
        return next((one for one in self if one.name == name), None)

    def on(self, target: str) -> tuple[str, ...]:
        """The names of those that are software of their own on this target."""
        return tuple(one.name for one in self if target in one.on)

    def notebook(self, name: str) -> str:
        """The notebook to run when this part is missing."""
        spec = self.get(name)
        return spec.notebook if spec else "00_check_environment"

    def named(self, name: str, target: str, hint: str) -> str:
        """The name, if it is that of a part which this target runs.

        Raises:
            SettingsError: It is none; names those that there are.
        """
        known = self.on(target)
        if name in known:
            return name
        close = difflib.get_close_matches(name, known, 1)
        raise SettingsError(
            f"There is no part {name!r}.",
            state="parts: " + ", ".join(known),
            hint=f"did you mean {close[0]}?" if close else hint,
        )

    @property
    def peers(self) -> tuple[Peer, ...]:
        """All who are tried: the pods of all parts, and the others."""
        return (*(peer for one in self for peer in one.peers), *network.OTHERS)

    @property
    def further_ways(self) -> tuple[Way, ...]:
        """To each part that ``network.ways`` does not name: its notebook asks, metrics are read."""
        table = network.ways(Shape())
        named = {end for way in table for end in (way.source, way.destination)}
        found = []
        for one in self:
            if one.on and one.name not in named:
                found.append(Way("notebook", one.name, one.port, "its notebook asks it"))
                if one.page:
                    at = one.page.exporter or one.name
                    found += [Way(who, at, one.page.port, "metrics") for who in network.READERS]
        return tuple(found)

    def ways(self, shape: Shape) -> tuple[Way, ...]:
        """All ways that are allowed on a cluster of this shape."""
        return network.ways(shape) + self.further_ways

    def declared(self, shape: Shape) -> Matrix:
        """The whole matrix of a cluster of this shape: what is seen if all is as declared."""
        ways, peers = self.ways(shape), self.peers
        allowed = {(way.source, way.destination, way.port) for way in ways}
        ends = list(dict.fromkeys((way.destination, way.port) for way in ways))
        listening = ("notebook", "stranger", network.ELSEWHERE.name)
        ends += [(who, network.SIMULATED) for who in listening]
        order = [peer.name for peer in peers]
        ends.sort(key=lambda end: (order.index(end[0]), end[1]))
        return Matrix(
            [
                Tried(peer.name, *end, yes := (peer.name, *end) in allowed, "open" if yes else "-")
                for peer in peers
                for end in ends
                if network.is_ours(peer.name, end[0])
            ]
        )


def module_of(part: str, package: str, missing: str) -> Any:
    """The module of a part's name in a target's package: ``mcp_server`` for ``mcp-server``.

    Raises:
        SettingsError: There is none; ``missing`` is the sentence that says so.
    """
    name = f"{package}.{part.replace('-', '_')}"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise SettingsError(missing, state=f"there is no module {name}") from None


def keep_choices(target: Target, part: str, **chosen: str) -> None:
    """Keep what was chosen for a part, by the names of its deploy verb's parameters."""
    target.store.remember(f"choices of {part}", json.dumps(chosen))


def choices_of(target: Target, part: str) -> dict[str, Any]:
    """What was chosen for a part when it was deployed last; empty when it was not."""
    kept = target.store.recall(f"choices of {part}")
    return dict(json.loads(kept)) if kept else {}
