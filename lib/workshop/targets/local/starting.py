"""One part brought up: what runs is reused, what has ended or changed is started again.

A port can be taken by a stranger at any moment before the part binds it. Nothing is therefore asked
of a port on which the part's own process does not listen: the stranger would get the credential,
and its answer would count.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from workshop.core import wait
from workshop.core.errors import AlreadyRunning, PartFailed
from workshop.core.progress import Stages
from workshop.targets.base import Endpoint, Part, Ready
from workshop.targets.local import ports
from workshop.targets.local.process import Command, Process
from workshop.targets.local.store import settle

Action = Literal["created", "reused", "changed", "restarted"]

IN_USE = ("address already in use", "eaddrinuse", "couldn't bind")
"""How programs say in their log that somebody else has their port."""


class PortTaken(PartFailed):
    """Somebody else took a port between choosing it and binding it: try the next free one."""


@dataclass
class Start:
    """Brings one part up."""

    part: Part
    process: Process  # Running or not.
    program: Callable[[Mapping[str, int]], Command]  # Says how it runs on these ports.
    taken: Callable[[], Collection[int]]  # The ports that other parts hold, listening or not.
    stage: Stages
    notebook: str  # The one that deploys it, for hints.
    # Its ports by name: the architecture's, or those on which it ran.
    wanted: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.wanted = {"main": self.part.port, **self.part.extra_ports}

    def action(self) -> Action:
        """What is to be done. Remembers the ports on which it ran: it gets them again."""
        record = self.process.record()
        if record is None:
            return "created"
        self.wanted |= {name: record.ports.get(name, port) for name, port in self.wanted.items()}
        if self.process.state() != "running":
            self.stage(f"it does not run any more ({self.process.describe()}): starting it again")
            return "restarted"
        # Otherwise it gets a further port, or one less.
        if self.wanted == record.ports:
            command = self.program(record.ports)
            if fingerprint(command, self.part) == record.fingerprint:
                return "reused"
        self.stage("its settings have changed: starting it again with the new ones")
        return "changed"

    def launch(self, action: Action) -> None:
        """Start it, on the wanted ports or the next free ones; what runs with other settings ends.

        Raises ``SetupError`` where the program is not installed, ``PartFailed`` where it is not
        there or cannot be run, and ``PartTooSlow`` where what ran did not end.
        """
        settle(self.process.folder.parent)
        # Not otherwise: another notebook may have started it a moment ago.
        if action == "changed":
            self.process.stop()
        chosen: dict[str, int] = {}
        for label, wanted in self.wanted.items():
            chosen[label] = ports.free_port(wanted, {*self.taken(), *chosen.values()})
            if chosen[label] != wanted:
                held = f"port {wanted} is taken by {ports.holder(wanted)}"
                self.stage(f"{held}: using {chosen[label]}")
        command = self.program(chosen)
        self.stage(f"starting on {ports.LOOPBACK}:{chosen['main']}")
        try:
            self.process.start(command, fingerprint=fingerprint(command, self.part))
        except AlreadyRunning:
            self.stage("another notebook has just started it")

    def answering(self, ready: Ready, timeout: float) -> Endpoint:
        """Wait until it answers; gives how to reach it.

        Raises ``PortTaken`` where a stranger has one of its ports, ``PartFailed`` where it ended,
        and ``PartTooSlow`` where it was not ready within ``timeout`` seconds.
        """
        record = self.process.record()
        pid, chosen = (record.pid, record.ports) if record else (0, self.wanted)
        endpoint = endpoint_of(self.part, chosen)
        port, name = chosen["main"], self.part.name
        listens = False

        def probe() -> object:
            nonlocal listens
            if self.process.state() != "running":
                raise self._ended(chosen)
            listens = listens or ports.listens(pid, port)
            # In this order: a part that starts to listen meanwhile must not look like a stranger.
            if not listens and ports.accepts(port) and not ports.listens(pid, port):
                raise self._port_taken(port)
            if not listens:
                return wait.NotYet(f"it does not listen on port {port} yet")
            return ready(endpoint)

        wait.wait_for(
            f"{name} to answer",
            probe,
            timeout=timeout,
            stage=self.stage,
            every=0.1,
            where=f"{endpoint.url}, log {self.process.log_path}",
            log=self.process.log_tail,
            hint=f"run {self.notebook} again to go on waiting, or start over: "
            f"workshop stop {name}, then the notebook",
        )
        return endpoint

    def _ended(self, chosen: Mapping[str, int]) -> PartFailed:
        held = [port for port in chosen.values() if not ports.is_free(port)]
        log = self.process.log_tail()
        if held:
            return self._port_taken(held[0])
        if any(said in line.lower() for said in IN_USE for line in log):
            return self._port_taken(chosen["main"])
        return PartFailed(
            f"{self.part.name} ended while it started.",
            where=str(self.process.log_path),
            state=self.process.describe(),
            log=log,
            hint=f"fix what the log says, then run {self.notebook} again",
        )

    def _port_taken(self, port: int) -> PortTaken:
        return PortTaken(
            f"{self.part.name} did not get its port: each time another program took it first.",
            where=str(self.process.log_path),
            state=f"port {port} is held by {ports.holder(port)}",
            log=self.process.log_tail(),
            hint=f"end that program, then run {self.notebook} again",
        )


def endpoint_of(part: Part, chosen: Mapping[str, int]) -> Endpoint:
    """How to reach a part on these ports of the loopback address."""
    scheme = str(part.settings.get("scheme", "http"))
    addresses = {label: f"{ports.LOOPBACK}:{port}" for label, port in chosen.items()}
    main = addresses.pop("main")
    return Endpoint(
        url=f"{scheme}://{main}",
        token=part.secrets.get("token"),
        user=str(part.settings.get("user", "")),
        password=part.secrets.get("password"),
        also={label: f"http://{address}" for label, address in addresses.items()},
    )


def fingerprint(command: Command, part: Part) -> str:
    """Tells whether anything of what the process was started with is different now."""
    content = [list(command.argv), dict(command.env), str(command.cwd), dict(command.ports)]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    digest.update(json.dumps({key: str(value) for key, value in part.settings.items()}).encode())
    return digest.hexdigest()
