"""What a part may ask of the place it runs in."""

import html
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from workshop.core import picture
from workshop.core.checks import Check
from workshop.core.errors import StepMissing
from workshop.core.progress import Stages
from workshop.core.secret import Secret
from workshop.core.table import Table
from workshop.targets.network import Matrix


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    part: str  # A part's name, or a word for what parts rest on, such as ``network``.
    what: str  # One sentence.
    state: str = ""  # What was seen, in the place's own words.
    hint: str = ""  # What fixes it.
    log: tuple[str, ...] = ()  # The last lines of its log, where they say more.
    because: tuple[str, ...] | None = ()  # Parts that may be the cause; None: any that it needs.


@dataclass(frozen=True)
class Endpoint:
    """How to reach a part. The credential shows in no repr."""

    url: str  # Scheme, host and port, without a trailing slash: ``http://127.0.0.1:8080``.
    token: Secret | None = None  # Sent as ``Authorization: Bearer``.
    user: str = ""  # Of a database, with its password.
    password: Secret | None = None
    ca_file: Path | None = None  # The CA of the server's certificate; None: the system's.
    also: Mapping[str, str] = field(default_factory=dict)  # Further URLs, such as ``monitoring``.
    inside: str = ""  # The URL by which other parts reach it, where that differs, as on a cluster.
    server_name: str = ""  # The host that the certificate must be for, where the URL has another.
    adopted: bool = False  # Whether somebody else runs it: a proxy may lead to it.

    def __repr__(self) -> str:
        """The URL, and what else is set.

        Example:
            >>> Endpoint("http://127.0.0.1:8080", token=Secret("abc"))
            Endpoint('http://127.0.0.1:8080', token=Secret(****))
        """
        plain, said = Endpoint(self.url), [repr(self.url)]
        for one in fields(self):
            mine = getattr(self, one.name)
            said += [f"{one.name}={mine!r}"] if mine != getattr(plain, one.name) else []
        return f"Endpoint({', '.join(said)})"

    @property
    def peer_url(self) -> str:
        """The URL by which another part reaches this one."""
        return self.inside or self.url

    @property
    def port(self) -> int:
        """The port in the URL, or its scheme's."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)


@dataclass(frozen=True)
class Machines:
    """Machines to be added to the place where parts run."""

    machine_type: str  # The cloud's name of it, such as ``g6.4xlarge``.
    zone: str = ""  # The cloud's, such as ``us-east-2a``; "" leaves the choice to the target.
    replicas: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)  # Of the nodes.
    taint: str = ""  # The key that a pod must tolerate to run there; "" for none.
    most: int = 0  # Up to how many an autoscaler may add; there is none when this is not more.


@dataclass(frozen=True)
class Accelerator:
    """A node that offers ``count`` GPUs, 1 or more; a taint is ``key:effect``."""

    node: str
    ready: bool
    count: int
    product: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """What a part needs from the place it runs in. A target reads this and asks no more."""

    name: str  # The folder in ``manifests/``, and the process's name locally.
    port: int  # The architecture's.
    settings: Mapping[str, str | int | bool] = field(default_factory=dict)  # None of them secret.
    secrets: Mapping[str, Secret] = field(default_factory=dict)  # Unseen by ``ps`` and logs.
    needs: Mapping[str, Endpoint] = field(default_factory=dict)  # Of other parts, by their names.
    extra_ports: Mapping[str, int] = field(default_factory=dict)  # By name, such as ``monitoring``.
    # The name in ``Store.secret`` of what its callers must send: a token, or the database's
    # password. "": it asks for none.
    credential: str = ""


@dataclass(frozen=True)
class Deployed:
    """A part that runs: how to reach it, and what was done to make it so."""

    name: str
    endpoint: Endpoint
    action: Literal["created", "reused", "changed", "restarted", "adopted"]
    seconds: float

    def __repr__(self) -> str:
        return f"{self.name}: {self.action} in {self.seconds:.1f} s, {self.endpoint.url}"


@dataclass(frozen=True)
class PartStatus:
    """One line of ``workshop status``."""

    name: str
    state: str
    url: str
    detail: str


class Statuses(Table[PartStatus]):
    """What runs; a notebook shows the picture of the system above the rows."""

    def _repr_html_(self) -> str:
        states = {row.name: row.state for row in self}
        alt = html.escape(
            ", ".join(f"{name}: {state}" for name, state in states.items()) or "nothing runs yet"
        )
        return f'<img alt="{alt}" src="{picture.url(picture.draw(states))}">{super()._repr_html_()}'


@dataclass(frozen=True)
class Scale:
    """How much of a part should run. A limit of "" is left as it is."""

    replicas: int = 1
    most: int = 0  # Up to how many an autoscaler may add; there is none when this is not more.
    cpu: str = ""  # The limit of each in cores, such as ``2`` or ``500m``.
    memory: str = ""  # The limit of each, such as ``2Gi``.


PATIENCE = 60.0  # Seconds that a Route must leave an answer: an agent's takes some.


@dataclass(frozen=True)
class Route:
    """A Route or an Ingress as it is configured."""

    name: str  # The object's kind and name, such as ``Route llama-stack``.
    endpoint: Endpoint  # Its URL, and the CA of its certificate.
    termination: str  # Where TLS ends: ``edge``, ``reencrypt``, ``passthrough``, or "" for none.
    serves_tls: bool  # Whether the part behind it speaks TLS itself.
    timeout: float  # Seconds that an answer may take.
    ours: bool = True  # Whether the kit made it, and not an operator.


Ready = Callable[[Endpoint], object]
"""Asks a part for real: gives ``wait.NotYet`` until it is satisfied."""


class Store(Protocol):
    """What notebooks keep for each other in this place: credentials, and plain facts."""

    def secret(self, name: str, make: Callable[[], str]) -> Secret:
        """A credential that is made once and kept where only this user can read it."""

    def secrets(self) -> list[Secret]:
        """Every credential that is kept here, so that it can be masked."""

    def renew(self, part: str, credential: str, make: Callable[[], str]) -> Secret:
        """Put a new credential in the place of one, and give the old one.

        Both are kept until ``retire``; until then, asked again, it makes no other. Where the place
        itself makes the token of ``part``, it makes another, without ``make``.

        Raises:
            StepMissing: There is none yet.
        """

    def retire(self, credential: str) -> None:
        """Forget the old one: the rotation is over."""

    def remember(self, name: str, value: str | None) -> None:
        """Keep a plain fact for later notebooks, such as a vector store's id; None forgets it."""

    def recall(self, name: str) -> str | None:
        """A fact that an earlier notebook kept, or None."""

    def offered(self, part: str) -> tuple[Endpoint, str] | None:
        """What whoever prepared this place runs for everybody as this part, or None.

        With the model's name there; "" when it has only one.
        """


class Scaling(Protocol):
    """How much of a part runs."""

    def reason(self, part: Part) -> str | None:
        """Why there cannot be more than one replica of this part here, or None when there can."""

    def scale(
        self, part: Part, scale: Scale, *, ready: Ready, timeout: float, stage: Stages
    ) -> Deployed:
        """Make this much of a part run. Every later ``Target.ensure`` keeps to it, and says so.

        Raises:
            SettingsError: There cannot be more than one here, with the reason.
            PartFailed: A replica ended while it was awaited.
            PartTooSlow: Not all were ready within ``timeout`` seconds.
        """

    def replicas(self, name: str) -> list[Endpoint]:
        """How to reach each replica of a part by itself; those that take requests now.

        Raises:
            StepMissing: It was not deployed, or none of it runs.
        """


class MachinePool(Protocol):
    """The machines with GPUs."""

    def skip_reason(self) -> str | None:
        """Why this user cannot add machines here, or None when they can."""

    def accelerators(self) -> list[Accelerator]:
        """The nodes that offer a GPU; none where there are none, or this user may not see them."""

    def add(self, wanted: Machines, *, dry_run: bool, timeout: float, stage: Stages) -> str:
        """Add machines, and return once each is a node that offers its GPU; gives what was done.

        Running it twice reuses. A dry run changes nothing, and gives what would be made.

        Raises:
            SettingsError: Such machines cannot be added here, or there is no such zone.
            PartFailed: The cloud refused a machine, with its own words.
            PartTooSlow: They did not all offer a GPU within ``timeout`` seconds.
        """


class Network(Protocol):
    """Who may talk to whom."""

    def declared(self) -> Matrix:
        """Who may talk to whom here, as it is declared."""

    def isolate(self, yours: Mapping[str, Endpoint], *, stage: Stages) -> list[str]:
        """Let parts talk to each other as ``network.ways`` declares, and refuse all else.

        Llama Stack may go to ``yours`` too: endpoints of the user's own, besides those that were
        adopted. Gives the names of what was applied; none where the place itself is the border.

        Raises:
            StepMissing: No part was deployed.
        """

    def tried(self, *, stage: Stages) -> Matrix:
        """Every way between those who are here, tried for real; whatever that took is removed."""

    def routes(self) -> list[Route]:
        """Where parts are reached from outside."""


class Target(Protocol):
    """The place where parts run. Implemented by ``local`` and by ``cluster``."""

    name: str

    @property
    def store(self) -> Store:
        """What notebooks keep for each other."""

    @property
    def scaling(self) -> Scaling:
        """How much of a part runs."""

    @property
    def machines(self) -> MachinePool:
        """The machines with GPUs."""

    @property
    def network(self) -> Network:
        """Who may talk to whom."""

    @property
    def operated(self) -> Mapping[str, str]:
        """By part, the program that an operator of this place runs for it, where there is one."""

    def environment(self) -> list[Check]:
        """What this place offers: one check a requirement, all of them, with what to do."""

    def problems(self) -> list[Problem]:
        """What this place knows to be wrong, without asking a part; what others rest on first."""

    def skip_reason(self, part: str) -> str | None:
        """Why this part is not deployed here, or None when it is."""

    def prestart(self, part: Part) -> Endpoint | None:
        """Start to bring a part up without waiting; gives how others will reach it.

        None where parts come up one by one.
        """

    def ensure(self, part: Part, *, ready: Ready, timeout: float, stage: Stages) -> Deployed:
        """Make the part run with these settings, and return once ``ready`` gave a value.

        Running it twice reuses what runs; changed settings are applied.

        Raises:
            PartFailed: The part ended while it was awaited, with the last lines of its log.
            PartTooSlow: It was not ready within ``timeout`` seconds.
        """

    def find(self, name: str) -> Endpoint:
        """How to reach a part that an earlier notebook deployed, from where this code runs.

        Raises:
            StepMissing: It was not deployed, or it ended since, naming the notebook to run.
        """

    def adopt(self, name: str, endpoint: Endpoint) -> Deployed:
        """Take an endpoint that somebody else runs as this part."""

    def status(self) -> Statuses:
        """What runs here, in the order of the sequence."""

    def logs(self, name: str, *, lines: int = 100, follow: bool = False) -> Iterator[str]:
        """A part's log, newest lines last; ``follow`` goes on until interrupted."""

    def stop(self, name: str | None = None) -> list[str]:
        """Stop one part, or all of them last first; gives the names that were stopped."""

    def clean_up(self, *, data: bool, stage: Stages | None = None) -> list[str]:
        """Remove all that the kit made here, its data too when ``data``; gives what was removed."""

    def leftovers(self, *, data: bool = False) -> list[str]:
        """What the kit made here and is still there; its data counts too when ``data``."""


def runs(target: Target, name: str) -> bool:
    """Whether a part was deployed, and has not ended since."""
    try:
        return bool(target.find(name))
    except StepMissing:
        return False


def is_yours(target: Target, name: str) -> bool:
    """Whether a part is an endpoint of the user's own, which the kit did not deploy."""
    return any(row.name == name and row.state == "yours" for row in target.status())
