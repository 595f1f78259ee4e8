"""The cluster target: each part is Kubernetes objects in one namespace."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

from workshop.checks import Check
from workshop.cluster import (
    applying,
    environment,
    namespaces,
    recipes,
    room_offer,
    scaling,
    showing,
)
from workshop.cluster.api import MANAGER, Api
from workshop.cluster.cleaning import Cleaning
from workshop.cluster.given import Given
from workshop.cluster.machines import GpuMachines
from workshop.cluster.memory import Memory, read
from workshop.cluster.reach import Reach, Way
from workshop.cluster.rollout import Rollout, guarded
from workshop.cluster.transport import Object
from workshop.cluster.watching import Watching
from workshop.errors import SettingsError, StepMissing
from workshop.masked import Secret
from workshop.progress import Stages, stages
from workshop.settings import Settings
from workshop.steps import ON_A_CLUSTER, notebook_of
from workshop.table import Table
from workshop.target import (
    Accelerator,
    Deployed,
    Endpoint,
    Machines,
    Offer,
    Part,
    PartStatus,
    Scale,
)
from workshop.wait import wait_for


class ClusterTarget:
    """Deploys to one namespace, and reaches what runs there from wherever this code runs.

    Args:
        settings: Where reports go.
        api: The cluster.
        recipes: What each part is, by part name; the kit's own when left out.
    """

    name = "cluster"

    def __init__(
        self,
        settings: Settings,
        api: Api,
        recipes: Mapping[str, recipes.Recipe] | None = None,
    ) -> None:
        self.settings = settings
        self.api = api
        self._recipes = recipes
        self.memory = Memory(api)
        self._watching = Watching(api)
        self._reach = Reach(api, self.memory)
        self._given = Given(self.memory, self._reach)
        self._machines = GpuMachines(api, self._watching)

    def environment(self) -> list[Check]:
        """What this cluster offers, and what this user may do."""
        return environment.checks(self.api)

    def skip_reason(self, part: str) -> str | None:
        """Whether there is something to add for this part."""
        return self._machines.skip_reason() if part == "gpu-nodes" else None

    def accelerators(self) -> list[Accelerator]:
        """The nodes that offer a GPU; none where this user may not see nodes."""
        return self._machines.accelerators()

    def add_machines(
        self, wanted: Machines, *, dry_run: bool, timeout: float, stage: Stages
    ) -> str:
        """Add machines by a MachineSet; see ``Target.add_machines``."""
        return self._machines.add(wanted, dry_run=dry_run, timeout=timeout, stage=stage)

    def choose(self, part: str, options: Sequence[str]) -> str:
        """The server that this cluster's operator runs, or the first."""
        return recipes.choose(part, options, self.api)

    def ensure(
        self,
        part: Part,
        *,
        ready: Callable[[Endpoint], object],
        timeout: float,
        stage: Stages,
    ) -> Deployed:
        """Make the part run with these settings; see ``Target.ensure``."""
        namespaces.ensure(self.api, stage)
        plan = self._plan(part, stage)
        action = self._apply(part, plan, stage)
        rollout = Rollout(self.api, self._watching, part.name, plan)
        way = Way.of(plan, part)

        def up() -> object:
            return guarded(lambda: ready(self._reach.endpoint(way, rollout.pods)), rollout)

        wait_for(
            f"{part.name} to answer",
            up,
            timeout=timeout,
            stage=stage,
            every=0.1,
            where=self.api.where,
            log=rollout.log,
            hint=f"workshop logs {part.name} --target cluster; kubectl get events",
        )
        self._given.forget(part.name, self._facts())
        self.memory.remember(_fact(part.name), way.text())
        endpoint = self._reach.endpoint(way, rollout.pods)
        stage(f"ready at {endpoint.peer_url} ({action})")
        log = f"kubectl logs deployment/{plan.deployment} -n {self.api.namespace}"
        return Deployed(part.name, endpoint, action, round(stage.seconds, 1), log)

    def scale_reason(self, part: Part) -> str | None:
        """What a second replica could not share; see ``Target.scale_reason``."""
        if self._given.url(part.name, self._facts()):
            return "it is an endpoint of your own"
        return scaling.reason(recipes.plan(part, self.api, self._recipes))

    def scale(
        self,
        part: Part,
        scale: Scale,
        *,
        ready: Callable[[Endpoint], object],
        timeout: float,
        stage: Stages,
    ) -> Deployed:
        """Make this much of a part run; see ``Target.scale``."""
        plan = recipes.plan(part, self.api, self._recipes)
        scaling.refuse(part, plan, scale, self.api.where)
        self.memory.remember(scaling.fact(part.name), scaling.text(scale))
        deployed = self.ensure(part, ready=ready, timeout=timeout, stage=stage)
        # An autoscaler that is not wanted any more goes.
        Cleaning(self.api).prune(part.name, scaling.applied(plan, part.name, scale, 0).objects)
        return deployed

    def replicas(self, name: str) -> list[Endpoint]:
        """Each pod that takes requests; see ``Target.replicas``."""
        whole = self.find(name)
        kept = read(self._facts(), _fact(name))
        if kept is None:
            return [whole]
        way = Way.read(kept)
        ready = functools.partial(self._ready_pods, way)
        return [self._reach.replica(way, pod, ready) for pod in ready()]

    def begin(self, part: Part) -> Endpoint | None:
        """Apply a part's objects; the notebook that deploys it waits for them."""
        with stages(part.name) as stage:
            namespaces.ensure(self.api, stage)
            plan = self._plan(part, stage)
            self._apply(part, plan, stage)
        return self._reach.peer(Way.of(plan, part))

    def adopt(self, name: str, endpoint: Endpoint) -> Deployed:
        """Use an endpoint that somebody else runs; our own objects for this part go."""
        self.stop(name)
        self._given.keep(name, endpoint)
        return Deployed(name, endpoint, "adopted", 0.0, "")

    def offered(self, name: str) -> Offer | None:
        """The model that ``workshop room`` has put into this namespace."""
        return room_offer.read(self.api, self._reach) if name == "model" else None

    def find(self, name: str) -> Endpoint:
        """How to reach a part that runs; see ``Target.find``."""
        facts = self._facts()
        given = self._given.find(name, facts)
        if given is not None:
            return given
        kept = read(facts, _fact(name))
        if kept is None:
            raise StepMissing(
                f"{name} was not deployed yet.",
                where=self.api.where,
                hint=f"run {notebook_of(name)} first",
            )
        way = Way.read(kept)
        ready = functools.partial(self._ready_pods, way)
        if not ready():
            raise StepMissing(
                f"{name} does not run any more.",
                where=self.api.where,
                state=showing.describe(way, self._watching),
                hint=f"run {notebook_of(name)} again: it starts what has ended",
            )
        return self._reach.endpoint(way, ready)

    def secrets(self) -> list[Secret]:
        """Every credential that is kept here."""
        return self.memory.secrets()

    def secret(self, name: str, make: Callable[[], str]) -> Secret:
        """A credential that is made once, in a Secret of the namespace."""
        namespaces.ensure(self.api, None)
        return self.memory.secret(name, make)

    def remember(self, name: str, value: str | None) -> None:
        """Keep a plain fact for later notebooks, in a ConfigMap of the namespace."""
        self.memory.remember(name, value)

    def recall(self, name: str) -> str | None:
        """A fact that an earlier notebook kept."""
        return self.memory.recall(name)

    def status(self) -> Table[PartStatus]:
        """One line a part that was deployed or taken over."""
        rows: Table[PartStatus] = Table()
        if not namespaces.is_visible(self.api):
            return rows
        facts = self._facts()
        for name in ON_A_CLUSTER:
            given, kept = self._given.url(name, facts), read(facts, _fact(name))
            if given is not None:
                rows.append(PartStatus(name, "yours", given, "an endpoint of your own"))
            elif kept is not None:
                way = Way.read(kept)
                rows.append(showing.line(name, way, self._watching, self.api.namespace))
        return rows

    def logs(self, name: str, *, lines: int = 100, follow: bool = False) -> Iterator[str]:
        """The log of a part's newest pod, without secrets."""
        kept = read(self._facts(), _fact(self._known(name)))
        way = Way.read(kept) if kept else None
        shown = showing.Log(lines, follow, self.secrets())
        return showing.log(self.api, self._watching, name, way, shown)

    def stop(self, name: str | None = None) -> list[str]:
        """Remove one part's objects, or those of all; volumes and credentials stay."""
        names = (self._known(name),) if name else ON_A_CLUSTER[::-1]
        stopped = []
        for part in names:
            self.memory.remember(_fact(part), None)
            if Cleaning(self.api).remove(part):
                stopped.append(part)
        return stopped

    def clean_up(self, *, data: bool, stage: Stages | None = None) -> list[str]:
        """Remove what carries the kit's label; volumes and credentials too when ``data``."""
        try:
            self.memory.written = None
            removed = Cleaning(self.api).everything(ON_A_CLUSTER[::-1], data=data, stage=stage)
        finally:
            # Last, because the parts leave their nodes before these are drained; and whatever
            # happened, because they cost money.
            machines = self._machines.remove()
        return removed + machines

    def leftovers(self) -> list[str]:
        """What carries the kit's label and is still there, kept data left out."""
        return Cleaning(self.api).left() + self._machines.left()

    def _plan(self, part: Part, stage: Stages) -> recipes.Plan:
        """What to apply, as much of it as was asked for."""
        plan = recipes.plan(part, self.api, self._recipes)
        scale = scaling.read(self.memory.recall(scaling.fact(part.name)))
        if scale == Scale():
            return plan
        scaling.refuse(part, plan, scale, self.api.where)
        stage(f"{scaling.words(scale)}, as {notebook_of('postgresql')} has set it")
        return scaling.applied(plan, part.name, scale, scaling.replicas_now(plan, self.api))

    def _apply(self, part: Part, plan: recipes.Plan, stage: Stages) -> applying.Action:
        known = read(self._facts(), _fact(part.name)) is not None
        return applying.apply(self.api, part.name, plan, stage, was_deployed=known)

    def _facts(self) -> Object | None:
        kept = self._watching.all("v1", "ConfigMap", f"metadata.name={MANAGER}")
        return self.memory.newer(kept[0] if kept else None)

    def _ready_pods(self, way: Way) -> list[Object]:
        return self._rollout(way).pods()

    def _rollout(self, way: Way) -> Rollout:
        plan = recipes.Plan([], "", way.deployment, way.pods, way.service, way.port)
        return Rollout(self.api, self._watching, way.service, plan)

    def _known(self, name: str) -> str:
        if name in ON_A_CLUSTER:
            return name
        raise SettingsError(
            f"There is no part {name!r}.",
            state="parts: " + ", ".join(ON_A_CLUSTER),
            hint="workshop status --target cluster",
        )


def _fact(name: str) -> str:
    return f"part {name}"
