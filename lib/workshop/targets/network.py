"""Who may talk to whom, on which port: declared here, and as NetworkPolicies in manifests/network.

A test compares the two. Who is not a part needs a ``Peer`` in ``OTHERS``. Notebook 08 draws this,
then tries every way for real.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from workshop.core.table import as_text

GUARDED, PLAIN = 8443, 8080
"""The model's port behind OpenShift AI's proxy, which asks for the token, and vLLM's own."""

SIMULATED = 8888  # JupyterLab's port: probes listen on it that stand for a notebook or a stranger.


@dataclass(frozen=True)
class Peer:
    """Somebody who talks, or who is talked to: a part, or a word for who it is.

    Policies select by ``labels`` of its pods in the kit's namespace, or of ``namespaces`` where it
    is in another one; each has one set of labels per generation.
    """

    name: str
    labels: tuple[Mapping[str, str], ...] = ()
    namespaces: tuple[Mapping[str, str], ...] = ()


NOTEBOOK = Peer("notebook", ({"notebook-name": "workshop"},))
STRANGER = Peer("stranger", ({"app": "stranger"},))
ELSEWHERE = Peer("another namespace", namespaces=({},))
ROUTER = Peer(
    "router",
    namespaces=(
        {"network.openshift.io/policy-group": "ingress"},
        {"policy-group.network.openshift.io/ingress": ""},
        {"policy-group.network.openshift.io/host-network": ""},
    ),
)
MONITORING = Peer("monitoring", namespaces=({"network.openshift.io/policy-group": "monitoring"},))

OTHERS = (NOTEBOOK, STRANGER, ELSEWHERE, ROUTER, MONITORING)
"""Who is tried besides the parts. Labels of the router's and the monitoring's namespaces:
OpenShift's documentation of network policies; the third of the router's is for routers in the
host's network. The notebook's: the notebook controller's, whatever its value."""

OUTSIDE = {peer.name for peer in OTHERS if peer.namespaces}  # Those of them in other namespaces.
READERS = ("prometheus", "monitoring")  # Of metrics: the kit's Prometheus, and OpenShift's.


@dataclass(frozen=True)
class Way:
    """One way that is allowed. Every other is refused."""

    source: str
    destination: str
    port: int
    why: str


@dataclass(frozen=True)
class Shape:
    """What a cluster has, of that which makes a difference.

    OpenShift AI's proxy before the model (``guarded``), a Route or an Ingress to Llama Stack
    (``routed``), a Route to the model, which OpenShift AI makes when it is asked to (``exposed``).
    """

    guarded: bool = False
    routed: bool = False
    exposed: bool = False


def ways(shape: Shape) -> tuple[Way, ...]:
    """The ways that are allowed between the kit's own parts, and from and to others.

    A part that stands nowhere in this table has those of every part: see ``spec.Parts.ways``.
    """
    model = GUARDED if shape.guarded else PLAIN
    found = [
        Way("llama-stack", "model", model, "each answer"),
        Way("llama-stack", "embedder", 8081, "each search of the runbooks"),
        Way("llama-stack", "mcp-server", 3000, "each call of a tool"),
        Way("mcp-server", "mongodb", 27017, "what a tool reads"),
        Way("mongodb-users", "mongodb", 27017, "makes the user that may only read"),
        Way("llama-stack", "mcp-writer", 3002, "each change that a person approved"),
        Way("mcp-writer", "mongodb", 27017, "what was approved"),
        Way("llama-stack", "postgresql", 5432, "what its replicas share"),
        Way("mcp-server", "mongodb-replicas", 27017, "what a tool reads, after the data has moved"),
        Way("mcp-writer", "mongodb-replicas", 27017, "what was approved, after the data has moved"),
        Way("mongodb-replicas", "mongodb-replicas", 27017, "members of a replica set"),
        Way("mongodb-replicas-initiate", "mongodb-replicas", 27017, "makes a set of them"),
        Way("notebook", "model", model, "step 2 asks it"),
        Way("notebook", "embedder", 8081, "step 3 asks how long its vectors are"),
        Way("notebook", "llama-stack", 8321, "steps 3, 6 and 7 ask it"),
        Way("notebook", "mongodb", 27017, "step 4 loads the data, the proof of step 7 reads it"),
        Way("notebook", "mcp-server", 3000, "step 5 lists its tools"),
        Way("notebook", "mcp-server", 3001, "step 5 asks whether it is healthy"),
        Way("notebook", "mcp-writer", 3002, "step 11 lists its tools"),
        Way("notebook", "mcp-writer", 3003, "step 11 asks whether it is healthy"),
        Way("notebook", "prometheus", 9090, "step 9 asks for what it has read"),
        Way("notebook", "postgresql", 5432, "step 10 asks whether it needs a password"),
        Way("notebook", "mongodb-replicas", 27017, "step 10 moves the data"),
        Way("llama-stack", "collector", 4318, "pushes its metrics"),
        Way("mongodb-exporter", "mongodb", 27017, "reads its status"),
        Way("mongodb-exporter", "mongodb-replicas", 27017, "reads its status"),
        Way("prometheus", "model", model, "metrics, with the token"),
    ]
    for who in READERS:
        found += [
            Way(who, "embedder", 8081, "metrics"),
            Way(who, "llama-stack", 9464, "metrics"),
            Way(who, "collector", 4318, "metrics that Llama Stack pushed"),
            Way(who, "mcp-server", 3001, "metrics"),
            Way(who, "mongodb-exporter", 9216, "metrics"),
        ]
    found.append(Way("monitoring", "model", PLAIN, "metrics"))
    if shape.routed:
        found.append(Way("router", "llama-stack", 8321, "its Route or Ingress"))
    if shape.exposed:
        found.append(Way("router", "model", model, "its Route"))
    return tuple(found)


@dataclass(frozen=True)
class Tried:
    """One way that was tried; ``allowed``: whether it is declared.

    ``port`` is 0 for a name that was looked up; ``seen`` is ``open``, ``refused``, ``timeout``, or
    the system's word for another end.
    """

    source: str
    destination: str
    port: int
    allowed: bool
    seen: str

    @property
    def agrees(self) -> bool:
        """Whether it is as it was declared."""
        return (self.seen == "open") == self.allowed

    @property
    def name(self) -> str:
        """What this is, as a check's name."""
        return f"{self.source} to {_at(self.destination, self.port)}"


class Matrix(list[Tried]):
    """Ways that were tried, shown as a table: who in rows, whom in columns.

    ``remark`` says what could not be tried, and why.

    Example:
        >>> Matrix([Tried("llama-stack", "model", 8080, True, "open")])
                     model:8080
        llama-stack  yes
    """

    def __init__(self, tried: Sequence[Tried] = (), remark: str = "") -> None:
        super().__init__(tried)
        self.remark = remark

    def _columns(self) -> list[tuple[str, int]]:
        return list(dict.fromkeys((one.destination, one.port) for one in self))

    def _rows(self) -> list[tuple[str, list[Tried | None]]]:
        cells = {(one.source, one.destination, one.port): one for one in self}
        sources = dict.fromkeys(one.source for one in self)
        return [(who, [cells.get((who, *whom)) for whom in self._columns()]) for who in sources]

    def __repr__(self) -> str:
        table = [["", *(_at(*end) for end in self._columns())]]
        table += [[who, *map(_word, row)] for who, row in self._rows()]
        return "\n".join(filter(None, [as_text(table), self.remark]))

    def _repr_html_(self) -> str:
        head = [f"<th>{escape(whom)}<br>{port or ''}</th>" for whom, port in self._columns()]
        rows = [("from", head), *((who, [*map(_cell, row)]) for who, row in self._rows())]
        body = "".join(
            f"<tr><th style='text-align:left'>{escape(who)}</th>{''.join(cells)}</tr>"
            for who, cells in rows
        )
        return f"<table>{body}</table>" + (f"<p>{escape(self.remark)}</p>" if self.remark else "")


def is_ours(source: str, destination: str) -> bool:
    """Whether a policy of the kit's could say anything: what two others do outside is not ours."""
    return not {source, destination} <= OUTSIDE


def _at(destination: str, port: int) -> str:
    return f"{destination}:{port}" if port else destination


def _word(one: Tried | None) -> str:
    if one is None:
        return ""
    return ("yes" if one.seen == "open" else "no") + ("" if one.agrees else "!")


def _cell(one: Tried | None) -> str:
    if one is None:
        return "<td></td>"
    # Translucent, so that they also suit a dark theme.
    allowed = "rgba(0,160,60,.25)" if one.allowed else "transparent"
    colour = allowed if one.agrees else "rgba(255,0,0,.3)"
    mark = ("" if one.agrees else "&#9888; ") + ("&#10003;" if one.seen == "open" else "&middot;")
    title = f"{one.name}: {'allowed' if one.allowed else 'refused'}, seen: {one.seen}"
    style = f"text-align:center;background:{colour}"
    return f"<td style='{style}' title='{escape(title)}'>{mark}</td>"
