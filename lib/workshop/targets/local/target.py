"""The local target: each part is a process on this machine's loopback."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from workshop.core.checks import Check
from workshop.core.errors import PartFailed, SettingsError, StepMissing, WorkshopError
from workshop.core.progress import Stages
from workshop.core.settings import Settings
from workshop.targets.base import (
    Accelerator,
    Deployed,
    Endpoint,
    Machines,
    Part,
    PartStatus,
    Problem,
    Ready,
    Scale,
    Statuses,
)
from workshop.targets.local import preflight, programs, store
from workshop.targets.local.ports import Loopback
from workshop.targets.local.process import Command, Process, Record
from workshop.targets.local.programs import DATA
from workshop.targets.local.starting import PortTaken, Start
from workshop.targets.spec import Parts


class OneEach:
    """One process per part: there is nothing to scale."""

    def __init__(self, target: LocalTarget) -> None:
        self._target = target

    def reason(self, _part: Part) -> str | None:
        """Why there is one process per part."""
        return "one process per part: a second one would share the cores of this machine"

    def scale(
        self, part: Part, scale: Scale, *, ready: Ready, timeout: float, stage: Stages
    ) -> Deployed:
        """Start the process again: that is all that can change here."""
        if max(scale.replicas, scale.most) > 1:
            raise SettingsError(
                f"{part.name} has one replica here.",
                state=str(self.reason(part)),
                hint='set TARGET = "cluster" to have more there',
            )
        stage("a process has no limits here: it is started again as it is")
        # It must come back on the ports where the others look for it.
        self._target.process(part.name).stop(forget=False)
        return self._target.ensure(part, ready=ready, timeout=timeout, stage=stage)

    def replicas(self, name: str) -> list[Endpoint]:
        """The one process."""
        return [self._target.find(name)]


class NoMachines:
    """There is one machine, and it is this one."""

    def skip_reason(self) -> str | None:
        """Why none can be added."""
        return "the local target adds no machines: the model runs on this machine's CPU"

    def accelerators(self) -> list[Accelerator]:
        """None: a GPU of this machine's own is not offered to parts."""
        return []

    def add(self, _wanted: Machines, *, dry_run: bool, timeout: float, stage: Stages) -> str:
        """There is nothing to add; ``skip_reason`` says so before."""
        raise SettingsError(
            "The local target adds no machines.", hint='set TARGET = "cluster" to add some there'
        )


ATTEMPTS = 3
"""How often a part is started when a stranger takes its port in the moment before it binds."""


class LocalTarget:
    """Runs parts as processes that outlive the notebook which started them.

    ``programs`` say how software runs, by part name; the kit's own do for those left out. Raises
    ``WorkshopError`` where the state is a copy of another folder's, or was moved while parts ran.
    """

    name = "local"

    def __init__(
        self,
        settings: Settings,
        parts: Parts,
        programs: Mapping[str, programs.Program] | None = None,
    ) -> None:
        self.settings = settings
        self.parts = parts
        self._names = parts.on(self.name)
        self._programs = programs or {}
        self.store = store.Store(settings.state)
        self.scaling = OneEach(self)
        self.machines = NoMachines()
        self.network = Loopback(self._running)
        store.check(self.store.local)
        self._missing: dict[str, str | None] = {}

    def environment(self) -> list[Check]:
        """What this machine offers, all of it checked."""
        pids = [record.pid for record in self._running().values()]
        parts = [one for one in self.parts if self.name in one.on and one.serves != "watching"]
        wanted = [one.port for one in parts]
        return preflight.checks(self.settings.state, wanted, self._own_ports(), pids)

    def problems(self) -> list[Problem]:
        """None: a process that ended says so when it is asked."""
        return []

    def skip_reason(self, part: str) -> str | None:
        """What replicas share is a cluster's; Prometheus cannot be had everywhere."""
        if part not in self._names:
            return "one machine has no room for replicas"
        if part not in self._missing:
            # Asked once: finding out may take a download that fails.
            self._missing[part] = programs.missing(part)
        return self._missing[part]

    @property
    def operated(self) -> Mapping[str, str]:
        """Nothing: everything that the kit knows runs here."""
        return {}

    def prestart(self, _part: Part) -> Endpoint | None:
        """Nothing: one machine's cores are busy with one part's start."""
        return None

    def ensure(self, part: Part, *, ready: Ready, timeout: float, stage: Stages) -> Deployed:
        """Make the part run with these settings; see ``Target.ensure``."""
        process = self.process(part.name)
        notebook = self.parts.notebook(part.name)
        start = Start(part, process, self._program(part), self._own_ports, stage, notebook)
        action = start.action()
        for attempt in range(ATTEMPTS):
            if action != "reused":
                # Until it answers, nobody should find it: not even after Ctrl-C in this moment.
                self.store.forget(part.name)
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
        self.store.save_endpoint(part.name, endpoint)
        stage(f"ready at {endpoint.url} ({action})")
        return Deployed(part.name, endpoint, action, round(stage.seconds, 1))

    def adopt(self, name: str, endpoint: Endpoint) -> Deployed:
        """Use an endpoint that somebody else runs; our own process for this part ends."""
        self.store.forget(name)
        self.process(name).stop()
        self.store.save_endpoint(name, endpoint)
        return Deployed(name, endpoint, "adopted", 0.0)

    def find(self, name: str) -> Endpoint:
        """How to reach a part that runs; see ``Target.find``."""
        endpoint, process = self.store.endpoint(name), self.process(name)
        state, notebook = process.state(), self.parts.notebook(name)
        if endpoint is not None and state in ("running", "absent"):
            return endpoint
        if endpoint is None and state != "running":
            raise StepMissing(
                f"{name} was not deployed yet, or was stopped.",
                where="this checkout's local target",
                hint=f"run {notebook} first",
            )
        what, again = "does not run any more", "it starts what has ended"
        if state == "running":
            what = "was started, and was not ready when its notebook stopped"
            again = "it goes on from there"
        raise StepMissing(
            f"{name} {what}.",
            where=str(process.log_path),
            state=process.describe(),
            log=process.log_tail(),
            hint=f"run {notebook} again: {again}",
        )

    def status(self) -> Statuses:
        """One line per part that was started or taken over."""
        rows = Statuses()
        for name in self._names:
            process, endpoint = self.process(name), self.store.endpoint(name)
            url = endpoint.url if endpoint else ""
            if record := process.record():
                state, began = process.state(), datetime.fromisoformat(record.started)
                since = f"pid {record.pid}, since {began.astimezone():%d %b %H:%M}"
                detail = since if state == "running" else process.describe()
                rows.append(PartStatus(name, state, url, detail))
            elif endpoint:
                rows.append(PartStatus(name, "yours", url, "an endpoint of your own"))
        return rows

    def logs(self, name: str, *, lines: int = 100, follow: bool = False) -> Iterator[str]:
        """A part's log, without secrets."""
        process = self.process(self.parts.named(name, self.name, "workshop status"))
        yield from process.follow(lines=lines) if follow else process.log_tail(lines)

    def stop(self, name: str | None = None) -> list[str]:
        """Stop one part, or all of them, those first that depend on others."""
        names = (
            [self.parts.named(name, self.name, "workshop status")] if name else self._names[::-1]
        )
        stopped = []
        for part in names:
            process = self.process(part)
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
        for name in self._names:
            # A user's own endpoint too: its token is kept with it.
            forgotten = self._forget(name)
            removed += _emptied(self.store.folder(name), data=data)
            if not forgotten:
                # A full disk has room now.
                self._forget(name)
        if data:
            # Last: without the passwords, what data is left could not be read any more.
            for path in (self.store.facts_path, self.store.secrets_path):
                if path.exists():
                    path.unlink()
                    removed.append(path.name)
            (self.store.local / store.PLACE).unlink(missing_ok=True)
        return removed

    def leftovers(self, *, data: bool = False) -> list[str]:
        """Processes that still run, and what is in control folders; kept data when ``data``."""
        left = []
        for process in map(self.process, self._names):
            name = process.folder.name
            if process.state() == "running":
                left.append(f"process {name}")
            if process.folder.exists():
                names = sorted(entry.name for entry in process.folder.iterdir())
                left += [f"{name}/{entry}" for entry in names if data or entry != DATA]
        return left

    def _forget(self, name: str) -> bool:
        # Parts can be stopped whatever has happened to the files; the next notebook names them.
        with suppress(WorkshopError):
            self.store.forget(name)
            return True
        return False

    def process(self, name: str) -> Process:
        """A part's process, running or not."""
        return Process(self.store.folder(name), name, secrets=self.store.secrets)

    def _running(self) -> dict[str, Record]:
        processes = {name: self.process(name) for name in self._names}
        return {
            name: record
            for name, process in processes.items()
            if (record := process.record()) and process.state() == "running"
        }

    def _own_ports(self) -> dict[int, str]:
        running = self._running().items()
        return {port: name for name, record in running for port in record.ports.values()}

    def _program(self, part: Part) -> Callable[[Mapping[str, int]], Command]:
        folder, own = self.store.folder(part.name), self._programs.get(part.name)
        return lambda chosen: programs.command(part, chosen, folder, own)


def _was_started(process: Process) -> bool:
    """Whether there was a process of ours, and not an endpoint of the user's alone."""
    try:
        return process.record() is not None
    except WorkshopError:
        return True


def _emptied(folder: Path, *, data: bool) -> list[str]:
    """Remove what is in a control folder, the data too when ``data``; gives what was removed."""
    entries = sorted(folder.iterdir()) if folder.exists() else []
    gone = [entry for entry in entries if data or entry.name != DATA]
    for entry in gone:
        is_tree = entry.is_dir() and not entry.is_symlink()
        shutil.rmtree(entry) if is_tree else entry.unlink()
    if folder.exists() and gone == entries:
        folder.rmdir()
    return [f"{folder.name}/{entry.name}" for entry in gone]
