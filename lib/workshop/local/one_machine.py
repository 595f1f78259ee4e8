"""What one machine does not have: more nodes, a way in, room for a second of each part."""

from __future__ import annotations

from collections.abc import Mapping

from workshop.ailment import Ailment
from workshop.errors import SettingsError
from workshop.progress import Stages
from workshop.target import Accelerator, Endpoint, Front, Machines, Offer, Part


class OneMachine:
    """The answers of the local target to what only a cluster can do."""

    def ailments(self) -> list[Ailment]:
        """None: a process that ended says so when it is asked."""
        return []

    def begin(self, _part: Part) -> Endpoint | None:
        """Nothing: one machine's cores are busy with one part's start."""
        return None

    def offered(self, _name: str) -> Offer | None:
        """Nothing: nobody prepares this machine for others."""
        return None

    def accelerators(self) -> list[Accelerator]:
        """None: a GPU of this machine's own is not offered to parts."""
        return []

    def add_machines(
        self, wanted: Machines, *, dry_run: bool, timeout: float, stage: Stages
    ) -> str:
        """There is nothing to add; ``skip_reason`` says so before."""
        raise SettingsError(
            "The local target adds no machines.", hint='set TARGET = "cluster" to add some there'
        )

    def scale_reason(self, _part: Part) -> str | None:
        """Why there is one process a part."""
        return "one process a part: a second one would share the cores of this machine"

    def isolate(self, yours: Mapping[str, Endpoint], *, stage: Stages) -> list[str]:
        """Nothing: parts listen on loopback alone, and no other machine reaches that."""
        stage("loopback is the border here: there is nothing to apply")
        return []

    def fronts(self) -> list[Front]:
        """None: nothing is reached from outside."""
        return []
