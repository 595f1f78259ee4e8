"""The local target: each part is a process on this machine's loopback."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from workshop.core import proxies
from workshop.core.checks import Check
from workshop.core.errors import PartFailed, SettingsError, StepMissing, WorkshopError
from workshop.core.progress import Stages
from workshop.core.secret import Secret
from workshop.core.settings import Settings
from workshop.core.table import Table
from workshop.parts.catalog import PROCESSES, SCALED_OUT, notebook_of, part_named
from workshop.targets.base import (
    Accelerator,
    Ailment,
    Deployed,
    Endpoint,
    Front,
    Machines,
    Offer,
    Part,
    PartStatus,
    Scale,
)
from workshop.targets.local import network, preflight, programs, store
from workshop.targets.local.process import Command, Process, Record
from workshop.targets.local.programs import DATA
from workshop.targets.local.starting import PortTaken, Start
from workshop.targets.local.store import State
from workshop.targets.network import Matrix


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


ATTEMPTS = 3
"""How often a part is started when a stranger takes its port in the moment before it binds."""
STATUS = "workshop status"
"""The command that lists the parts."""


class LocalTarget(OneMachine):
    """Runs parts as processes that outlive the notebook which started them.

    Args:
        settings: Where the state is.
        programs: How each part's software runs, by part name; the kit's own when left out.

    Raises:
        WorkshopError: The state is a copy of another folder's, or was moved while parts ran.

    Example:
        >>> target = LocalTarget(Settings.from_env())  # doctest: +SKIP
        >>> target.status()  # doctest: +SKIP
    """

    name = "local"

    def __init__(
        self, settings: Settings, programs: Mapping[str, programs.Program] | None = None
    ) -> None:
        self.settings = settings
        self._programs = programs
        self.state = State(settings.state)
        store.check(self.state.local)
        self._missing: dict[str, str | None] = {}

    def environment(self) -> list[Check]:
        """What this machine offers, all of it checked."""
        running = self._running()
        pids = [record.pid for record in running.values()]
        return preflight.checks(self.settings.state, self._own_ports(), pids)

    def skip_reason(self, part: str) -> str | None:
        """Machines, and what replicas share, are of a cluster; Prometheus is not everywhere."""
        if part == "gpu-nodes":
            return "the local target adds no machines: the model runs on this machine's CPU"
        if part in SCALED_OUT:
            return "one machine has no room for replicas"
        if part not in self._missing:
            # Asked once: finding out may take a download that fails.
            self._missing[part] = programs.missing(part)
        return self._missing[part]

    def choose(self, part: str, options: Sequence[str]) -> str:
        """The first: everything that the kit knows runs here."""
        return options[0]

    def ensure(
        self,
        part: Part,
        *,
        ready: Callable[[Endpoint], object],
        timeout: float,
        stage: Stages,
    ) -> Deployed:
        """Make the part run with these settings; see ``Target.ensure``."""
        process = self._process(part.name)
        notebook = notebook_of(part.name)
        start = Start(part, process, self._program(part), self._own_ports, stage, notebook)
        action = start.action()
        for attempt in range(ATTEMPTS):
            if action != "reused":
                # Until it answers, nobody shall find it: not even after Ctrl-C in this moment.
                self.state.forget(part.name)
                start.launch(action)
            try:
                endpoint = start.answering(ready, timeout)
                break
            except PartFailed as failed:
                if isinstance(failed, PortTaken):
                    process.stop()
                    reason = f"{failed.state}, and was free a moment ago"
                elif action == "reused" and process.state() != "running":
                    # It may have been killed just before: starting it is what was asked for.
                    reason = f"it does not run any more ({process.describe()})"
                else:
                    raise
                if attempt == ATTEMPTS - 1:
                    raise
                stage(f"{reason}: starting it again")
                action = "restarted" if action == "reused" else action
        self.state.save_endpoint(part.name, endpoint)
        stage(f"ready at {endpoint.url} ({action})")
        return Deployed(part.name, endpoint, action, round(stage.seconds, 1), str(process.log_path))

    def scale(
        self,
        part: Part,
        scale: Scale,
        *,
        ready: Callable[[Endpoint], object],
        timeout: float,
        stage: Stages,
    ) -> Deployed:
        """Start the process again: that is all that can change here."""
        if max(scale.replicas, scale.most) > 1:
            raise SettingsError(
                f"{part.name} has one replica here.",
                state=str(self.scale_reason(part)),
                hint='set TARGET = "cluster" to have more there',
            )
        stage("a process has no limits here: it is started again as it is")
        # It must come back on the ports where the others look for it.
        self._process(part.name).stop(forget=False)
        return self.ensure(part, ready=ready, timeout=timeout, stage=stage)

    def replicas(self, name: str) -> list[Endpoint]:
        """The one process."""
        return [self.find(name)]

    def adopt(self, name: str, endpoint: Endpoint) -> Deployed:
        """Use an endpoint that somebody else runs; our own process for this part ends."""
        self.state.forget(name)
        self._process(name).stop()
        self.state.save_endpoint(name, endpoint)
        return Deployed(name, endpoint, "adopted", 0.0, "")

    def find(self, name: str) -> Endpoint:
        """How to reach a part that runs; see ``Target.find``."""
        endpoint = self.state.endpoint(name)
        process = self._process(name)
        state = process.state()
        if endpoint is None and state == "running":
            raise StepMissing(
                f"{name} was started, and was not ready when its notebook stopped.",
                where=str(process.log_path),
                state=process.describe(),
                log=process.log_tail(),
                hint=f"run {notebook_of(name)} again: it goes on from there",
            )
        if endpoint is None:
            raise StepMissing(
                f"{name} was not deployed yet.",
                where="this checkout's local target",
                hint=f"run {notebook_of(name)} first",
            )
        if state not in ("running", "absent"):
            raise StepMissing(
                f"{name} does not run any more.",
                where=str(process.log_path),
                state=process.describe(),
                log=process.log_tail(),
                hint=f"run {notebook_of(name)} again: it starts what has ended",
            )
        return endpoint

    def secret(self, name: str, make: Callable[[], str]) -> Secret:
        """A credential that is made once, in a file of mode 0600."""
        return self.state.secret(name, make)

    def secrets(self) -> list[Secret]:
        """Every credential that is kept here, or that the environment's proxies are given."""
        return [*self.state.secrets(), *proxies.secrets()]

    def renew(self, part: str, credential: str, make: Callable[[], str]) -> Secret:
        """A new credential in the old one's place; see ``Target.renew``."""
        return self.state.renew(credential, make)

    def retire(self, credential: str) -> None:
        """Forget the old one."""
        self.state.retire(credential)

    def remember(self, name: str, value: str | None) -> None:
        """Keep a plain fact for later notebooks."""
        self.state.remember(name, value)

    def recall(self, name: str) -> str | None:
        """A fact that an earlier notebook kept."""
        return self.state.recall(name)

    def declared(self) -> Matrix:
        """This machine may, another may not."""
        return network.declared(self._running())

    def tried(self, *, stage: Stages) -> Matrix:
        """Every port of every part, from here and as another machine would."""
        running = self._running()
        stage(f"trying the ports of {len(running)} parts")
        return network.tried(running)

    def status(self) -> Table[PartStatus]:
        """One line a part that was started or taken over."""
        rows: Table[PartStatus] = Table()
        for name in PROCESSES:
            process, endpoint = self._process(name), self.state.endpoint(name)
            record = process.record()
            if record is None and endpoint is None:
                continue
            url = endpoint.url if endpoint else ""
            if record is None:
                rows.append(PartStatus(name, "yours", url, "an endpoint of your own"))
                continue
            state = process.state()
            detail = f"{process.describe()}, started {record.started}, log {process.log_path}"
            rows.append(PartStatus(name, state, url, detail))
        return rows

    def logs(self, name: str, *, lines: int = 100, follow: bool = False) -> Iterator[str]:
        """A part's log, without secrets."""
        process = self._process(part_named(name, STATUS))
        yield from process.follow(lines=lines) if follow else process.log_tail(lines)

    def stop(self, name: str | None = None) -> list[str]:
        """Stop one part, or all of them, those first that depend on others."""
        names = [part_named(name, STATUS)] if name else list(reversed(PROCESSES))
        stopped = []
        for part in names:
            process = self._process(part)
            if not process.folder.exists():
                continue
            # First: what was stopped must not be found, even if Ctrl-C comes in between. On a full
            # disk it cannot be forgotten; its record stays then, and says that it has ended.
            forgotten = not _was_started(process) or self._forget(part)
            if process.stop(forget=forgotten):
                stopped.append(part)
        return stopped

    def clean_up(self, *, data: bool, stage: Stages | None = None) -> list[str]:
        """Stop everything; remove logs and control files, and the data too when ``data``."""
        removed = [f"process {name}" for name in self.stop()]
        for name in PROCESSES:
            # A user's own endpoint too: its token is kept with it.
            forgotten = self._forget(name)
            removed += empty_folder(self.state.folder(name), data=data)
            if not forgotten:
                # A full disk has room now.
                self._forget(name)
        if data:
            # Last: without the passwords, what data is left could not be read any more.
            for path in (self.state.facts_path, self.state.secrets_path):
                if path.exists():
                    path.unlink()
                    removed.append(path.name)
            (self.state.local / store.PLACE).unlink(missing_ok=True)
        return removed

    def leftovers(self) -> list[str]:
        """Processes that still run, and control folders with more than kept data."""
        return left_in_folders(map(self._process, PROCESSES))

    def _forget(self, name: str) -> bool:
        # Parts can be stopped whatever has happened to the files; the next notebook names them.
        with suppress(WorkshopError):
            self.state.forget(name)
            return True
        return False

    def _process(self, name: str) -> Process:
        return Process(self.state.folder(name), name, secrets=self.secrets)

    def _running(self) -> dict[str, Record]:
        found = {}
        for name in PROCESSES:
            process = self._process(name)
            record = process.record()
            if record and process.state() == "running":
                found[name] = record
        return found

    def _own_ports(self) -> dict[int, str]:
        running = self._running().items()
        return {port: name for name, record in running for port in record.ports.values()}

    def _program(self, part: Part) -> Callable[[Mapping[str, int]], Command]:
        folder = self.state.folder(part.name)
        return lambda chosen: programs.command(part, chosen, folder, self._programs)


def _was_started(process: Process) -> bool:
    """Whether there was a process of ours, and not an endpoint of the user's alone."""
    try:
        return process.record() is not None
    except WorkshopError:
        return True


def empty_folder(folder: Path, *, data: bool) -> list[str]:
    """Remove what is in a control folder, the data too when ``data``; gives what was removed."""
    removed: list[str] = []
    if not folder.exists():
        return removed
    for entry in sorted(folder.iterdir()):
        if entry.name == DATA and not data:
            continue
        whole = entry.is_dir() and not entry.is_symlink()
        shutil.rmtree(entry) if whole else entry.unlink()
        removed.append(f"{folder.name}/{entry.name}")
    if not any(folder.iterdir()):
        folder.rmdir()
    return removed


def left_in_folders(processes: Iterable[Process]) -> list[str]:
    """Processes that still run, and what is in their control folders besides kept data."""
    left = []
    for process in processes:
        name = process.folder.name
        if process.state() == "running":
            left.append(f"process {name}")
        if process.folder.exists():
            names = {entry.name for entry in process.folder.iterdir()} - {DATA}
            left.extend(f"{name}/{entry}" for entry in sorted(names))
    return left
