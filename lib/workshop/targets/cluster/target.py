"""The cluster target: each part is Kubernetes objects in one namespace."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

from workshop.core.checks import Check
from workshop.core.progress import Stages, stages
from workshop.core.secret import Secret, mask
from workshop.core.settings import Settings
from workshop.core.table import Table
from workshop.core.wait import wait_for
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
from workshop.targets.cluster import (
    apply,
    endpoints,
    logs,
    manifests,
    namespaces,
    offered_model,
    preflight,
    scaling,
)
from workshop.targets.cluster.adopted import Given
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.delete import Cleaning
from workshop.targets.cluster.deployed import Known, fact
from workshop.targets.cluster.doctor.findings import Ailments
from workshop.targets.cluster.endpoints import Reach, Way
from workshop.targets.cluster.informer import Watching
from workshop.targets.cluster.machines.machines import GpuMachines
from workshop.targets.cluster.network import routes
from workshop.targets.cluster.network.isolation import Isolation
from workshop.targets.cluster.rollout import Rollout, guarded
from workshop.targets.cluster.store import Memory, read
from workshop.targets.network import Matrix
from workshop.targets.spec import Parts

STATUS = "workshop status --target cluster"
"""The command that lists the parts."""


class ClusterTarget:
    """Deploys to one namespace, and reaches what runs there from wherever this code runs.

    Args:
        settings: Where reports go.
        api: The cluster.
        parts: All that there are; those that a cluster has are its own.
        recipes: What a part is, by its name, in place of the kit's own.
    """

    name = "cluster"

    def __init__(
        self,
        settings: Settings,
        api: Api,
        parts: Parts,
        recipes: Mapping[str, manifests.Recipe] | None = None,
    ) -> None:
        self.settings = settings
        self.api = api
        self.parts = parts
        self._names = parts.on(self.name)
        self._recipes = recipes
        self.memory = Memory(api)
        self._watching = Watching(api)
        self._known = Known(api, self._watching, self.memory, parts)
        self._reach = Reach(api, self.memory)
        self._machines = GpuMachines(api, self._watching)
        self._given = Given(self.memory, self._reach)
        self._isolation = Isolation(api, self._watching, parts)

    def environment(self) -> list[Check]:
        """What this cluster offers, and what this user may do."""
        return preflight.checks(self.api)

    def ailments(self) -> list[Ailment]:
        """What the cluster knows to be wrong; see ``Target.ailments``."""
        return Ailments(self.api, self.memory, self._known, self._isolation).found()

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
        return manifests.choose(part, options, self.api)

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
        was_up = read(self._known.facts(), fact(part.name)) is not None
        action = apply.apply(self.api, part.name, plan, stage, was_up=was_up)
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
        if self._given.url(self._known.facts(), part.name) is not None:
            self._given.forget(part.name)
        self.memory.remember(fact(part.name), way.text())
        endpoint = self._reach.endpoint(way, rollout.pods)
        stage(f"ready at {endpoint.peer_url} ({action})")
        log = f"kubectl logs deployment/{plan.deployment} -n {self.api.namespace}"
        return Deployed(part.name, endpoint, action, round(stage.seconds, 1), log)

    def scale_reason(self, part: Part) -> str | None:
        """What a second replica could not share; see ``Target.scale_reason``."""
        if self._given.url(self._known.facts(), part.name) is not None:
            return "it is an endpoint of your own"
        return scaling.reason(manifests.plan(part, self.api, self._recipes))

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
        plan = manifests.plan(part, self.api, self._recipes)
        scaling.refuse(part, plan, scale, self.api.where)
        self.memory.remember(scaling.fact(part.name), scaling.text(scale))
        deployed = self.ensure(part, ready=ready, timeout=timeout, stage=stage)
        # An autoscaler that is not wanted any more goes.
        Cleaning(self.api).prune(part.name, scaling.applied(plan, part.name, scale, 0).objects)
        return deployed

    def replicas(self, name: str) -> list[Endpoint]:
        """Each pod that takes requests; see ``Target.replicas``."""
        if self._given.url(self._known.facts(), name) is not None:
            return [self.find(name)]
        way = self._known.running(name)
        ready = functools.partial(self._known.ready_pods, way)
        return [self._reach.replica(way, pod, ready) for pod in ready()]

    def begin(self, part: Part) -> Endpoint | None:
        """Apply a part's objects; the notebook that deploys it waits for them."""
        with stages(part.name) as stage:
            namespaces.ensure(self.api, stage)
            plan = self._plan(part, stage)
            apply.apply(self.api, part.name, plan, stage, was_up=False)
        return self._reach.peer(Way.of(plan, part))

    def adopt(self, name: str, endpoint: Endpoint) -> Deployed:
        """Use an endpoint that somebody else runs; our own objects for this part go."""
        self.stop(name)
        self._given.keep(name, endpoint)
        return Deployed(name, endpoint, "adopted", 0.0, "")

    def offered(self, name: str) -> Offer | None:
        """The model that ``workshop room`` has put into this namespace."""
        return offered_model.read(self.api, self._reach) if name == "model" else None

    def find(self, name: str) -> Endpoint:
        """How to reach a part that runs; see ``Target.find``."""
        given = self._given.find(self._known.facts(), name)
        if given is not None:
            return given
        way = self._known.running(name)
        return self._reach.endpoint(way, functools.partial(self._known.ready_pods, way))

    def secrets(self) -> list[Secret]:
        """Every credential that is kept here."""
        return self.memory.secrets()

    def secret(self, name: str, make: Callable[[], str]) -> Secret:
        """A credential that is made once, in a Secret of the namespace."""
        namespaces.ensure(self.api, None)
        return self.memory.secret(name, make)

    def renew(self, part: str, credential: str, make: Callable[[], str]) -> Secret:
        """A new credential in the old one's place; see ``Target.renew``."""
        way = self._known.ways().get(part)
        if way is None or way.token is None:
            return self.memory.renew(credential, make)
        return endpoints.renew_token(
            self.api, self.memory, self._reach, part, way.token, credential
        )

    def retire(self, credential: str) -> None:
        """Forget the old one."""
        self.memory.retire(credential)

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
        facts = self._known.facts()
        for name in self._names:
            given, kept = self._given.url(facts, name), read(facts, fact(name))
            if given is not None:
                rows.append(PartStatus(name, "yours", given, "an endpoint of your own"))
            elif kept is not None:
                rows.append(self._known.status(name, Way.read(kept)))
        return rows

    def logs(self, name: str, *, lines: int = 100, follow: bool = False) -> Iterator[str]:
        """The log of a part's pods, or of the newest to be followed, without secrets."""
        pods = self._known.containers(self.parts.named(name, self.name, STATUS))
        hidden = self.secrets()
        found = (
            self.api.logs(*pods[-1], lines=lines, follow=True)
            if follow
            else logs.newest(self.api, pods, lines=lines)
        )
        for line in found:
            yield mask(line, hidden)

    def stop(self, name: str | None = None) -> list[str]:
        """Remove one part's objects, or those of all; volumes and credentials stay."""
        names = [self.parts.named(name, self.name, STATUS)] if name else self._names[::-1]
        stopped = []
        for part in names:
            self.memory.remember(fact(part), None)
            if Cleaning(self.api).remove(part):
                stopped.append(part)
        return stopped

    def clean_up(self, *, data: bool, stage: Stages | None = None) -> list[str]:
        """Remove what carries the kit's label; volumes and credentials too when ``data``."""
        try:
            self.memory.written = None
            removed = Cleaning(self.api).everything(self._names[::-1], data=data, stage=stage)
        finally:
            # Last, because the parts leave their nodes before these are drained; and whatever
            # happened, because they cost money.
            machines = self._machines.remove()
        return removed + machines

    def leftovers(self) -> list[str]:
        """What carries the kit's label and is still there, kept data left out."""
        return Cleaning(self.api).left() + self._machines.left()

    def declared(self) -> Matrix:
        """Who may talk to whom, on a cluster like this one."""
        return self._isolation.declared(self._known.ways())

    def isolate(self, yours: Mapping[str, Endpoint], *, stage: Stages) -> list[str]:
        """Policies: the declared ways are open, all others closed; see ``Target.isolate``."""
        facts = self._known.facts()
        given = {n: g for n in self._names if (g := self._given.find(facts, n)) is not None}
        return self._isolation.apply(self._known.ways(), {**yours, **given}, stage)

    def tried(self, *, stage: Stages) -> Matrix:
        """Every way, tried from pods; see ``Target.tried``."""
        return self._isolation.tried(self._known.ways(), stage)

    def fronts(self) -> list[Front]:
        """The Routes and Ingresses of the parts; see ``Target.fronts``."""
        return routes.found(self.api, self._reach, self._known.ways())

    def _plan(self, part: Part, stage: Stages) -> manifests.Plan:
        """What to apply, as much of it as was asked for."""
        plan = manifests.plan(part, self.api, self._recipes)
        return scaling.as_asked(plan, part, self.api, self.memory, stage)
