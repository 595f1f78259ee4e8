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
from workshop.parts.catalog import ON_A_CLUSTER, part_named
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
from workshop.targets.cluster import manifests, namespaces, preflight, scaling
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.delete import Cleaning
from workshop.targets.cluster.deployed import AdoptedParts, DeployedParts, fact
from workshop.targets.cluster.doctor import Problems
from workshop.targets.cluster.endpoints import Endpoints, Location, routes
from workshop.targets.cluster.informer import Informer
from workshop.targets.cluster.machines.machines import GpuMachines
from workshop.targets.cluster.network.isolation import Isolation
from workshop.targets.cluster.rollout import Rollout, apply, guarded
from workshop.targets.cluster.store import Store, read
from workshop.targets.network import Matrix

STATUS = "workshop status --target cluster"
"""The command that lists the parts."""


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
        recipes: Mapping[str, manifests.Recipe] | None = None,
    ) -> None:
        self.settings = settings
        self.api = api
        self._recipes = recipes
        self.store = Store(api)
        self._informer = Informer(api)
        self._deployed = DeployedParts(api, self._informer, self.store)
        self._endpoints = Endpoints(api, self.store)
        self._machines = GpuMachines(api, self._informer)
        self._adopted = AdoptedParts(api, self.store, self._endpoints)
        self._isolation = Isolation(api, self._informer)

    def environment(self) -> list[Check]:
        """What this cluster offers, and what this user may do."""
        return preflight.checks(self.api)

    def ailments(self) -> list[Ailment]:
        """What the cluster knows to be wrong; see ``Target.ailments``."""
        return Problems(self.api, self.store, self._deployed, self._isolation).found()

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
        was_up = read(self._deployed.facts(), fact(part.name)) is not None
        action = apply(self.api, part.name, plan, stage, was_up=was_up)
        rollout = Rollout(self.api, self._informer, part.name, plan)
        location = Location.of(plan, part)

        def up() -> object:
            return guarded(lambda: ready(self._endpoints.endpoint(location, rollout.pods)), rollout)

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
        if self._adopted.url(self._deployed.facts(), part.name) is not None:
            self._adopted.forget(part.name)
        self.store.remember(fact(part.name), location.text())
        endpoint = self._endpoints.endpoint(location, rollout.pods)
        stage(f"ready at {endpoint.peer_url} ({action})")
        log = f"kubectl logs deployment/{plan.deployment} -n {self.api.namespace}"
        return Deployed(part.name, endpoint, action, round(stage.seconds, 1), log)

    def scale_reason(self, part: Part) -> str | None:
        """What a second replica could not share; see ``Target.scale_reason``."""
        if self._adopted.url(self._deployed.facts(), part.name) is not None:
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
        self.store.remember(scaling.fact(part.name), scaling.text(scale))
        deployed = self.ensure(part, ready=ready, timeout=timeout, stage=stage)
        # An autoscaler that is not wanted any more goes.
        Cleaning(self.api).prune(part.name, scaling.applied(plan, part.name, scale, 0).objects)
        return deployed

    def replicas(self, name: str) -> list[Endpoint]:
        """Each pod that takes requests; see ``Target.replicas``."""
        if self._adopted.url(self._deployed.facts(), name) is not None:
            return [self.find(name)]
        location = self._deployed.running(name)
        ready = functools.partial(self._deployed.ready_pods, location)
        return [self._endpoints.replica(location, pod, ready) for pod in ready()]

    def begin(self, part: Part) -> Endpoint | None:
        """Apply a part's objects; the notebook that deploys it waits for them."""
        with stages(part.name) as stage:
            namespaces.ensure(self.api, stage)
            plan = self._plan(part, stage)
            apply(self.api, part.name, plan, stage, was_up=False)
        return self._endpoints.peer(Location.of(plan, part))

    def adopt(self, name: str, endpoint: Endpoint) -> Deployed:
        """Use an endpoint that somebody else runs; our own objects for this part go."""
        self.stop(name)
        self._adopted.keep(name, endpoint)
        return Deployed(name, endpoint, "adopted", 0.0, "")

    def offered(self, name: str) -> Offer | None:
        """The model that ``workshop room`` has put into this namespace."""
        return self._adopted.offered() if name == "model" else None

    def find(self, name: str) -> Endpoint:
        """How to reach a part that runs; see ``Target.find``."""
        given = self._adopted.find(self._deployed.facts(), name)
        if given is not None:
            return given
        location = self._deployed.running(name)
        return self._endpoints.endpoint(
            location, functools.partial(self._deployed.ready_pods, location)
        )

    def secrets(self) -> list[Secret]:
        """Every credential that is kept here."""
        return self.store.secrets()

    def secret(self, name: str, make: Callable[[], str]) -> Secret:
        """A credential that is made once, in a Secret of the namespace."""
        namespaces.ensure(self.api, None)
        return self.store.secret(name, make)

    def renew(self, part: str, credential: str, make: Callable[[], str]) -> Secret:
        """A new credential in the old one's place; see ``Target.renew``."""
        location = self._deployed.locations().get(part)
        if location is None or location.token is None:
            return self.store.renew(credential, make)
        return self._endpoints.renew_token(part, location.token, credential)

    def retire(self, credential: str) -> None:
        """Forget the old one."""
        self.store.retire(credential)

    def remember(self, name: str, value: str | None) -> None:
        """Keep a plain fact for later notebooks, in a ConfigMap of the namespace."""
        self.store.remember(name, value)

    def recall(self, name: str) -> str | None:
        """A fact that an earlier notebook kept."""
        return self.store.recall(name)

    def status(self) -> Table[PartStatus]:
        """One line a part that was deployed or taken over."""
        rows: Table[PartStatus] = Table()
        if not namespaces.is_visible(self.api):
            return rows
        facts = self._deployed.facts()
        for name in ON_A_CLUSTER:
            given, kept = self._adopted.url(facts, name), read(facts, fact(name))
            if given is not None:
                rows.append(PartStatus(name, "yours", given, "an endpoint of your own"))
            elif kept is not None:
                rows.append(self._deployed.status(name, Location.read(kept)))
        return rows

    def logs(self, name: str, *, lines: int = 100, follow: bool = False) -> Iterator[str]:
        """The log of a part's pods, or of the newest to be followed, without secrets."""
        part, hidden = part_named(name, STATUS, ON_A_CLUSTER), self.secrets()
        ask = self._deployed.follow if follow else self._deployed.newest
        for line in ask(part, lines=lines):
            yield mask(line, hidden)

    def stop(self, name: str | None = None) -> list[str]:
        """Remove one part's objects, or those of all; volumes and credentials stay."""
        names = [part_named(name, STATUS, ON_A_CLUSTER)] if name else ON_A_CLUSTER[::-1]
        stopped = []
        for part in names:
            self.store.remember(fact(part), None)
            if Cleaning(self.api).remove(part):
                stopped.append(part)
        return stopped

    def clean_up(self, *, data: bool, stage: Stages | None = None) -> list[str]:
        """Remove what carries the kit's label; volumes and credentials too when ``data``."""
        try:
            self.store.written = None
            removed = Cleaning(self.api).everything(ON_A_CLUSTER[::-1], data=data, stage=stage)
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
        return self._isolation.declared(self._deployed.locations())

    def isolate(self, yours: Mapping[str, Endpoint], *, stage: Stages) -> list[str]:
        """Policies: the declared ways are open, all others closed; see ``Target.isolate``."""
        facts = self._deployed.facts()
        given = {n: g for n in ON_A_CLUSTER if (g := self._adopted.find(facts, n)) is not None}
        return self._isolation.apply(self._deployed.locations(), {**yours, **given}, stage)

    def tried(self, *, stage: Stages) -> Matrix:
        """Every way, tried from pods; see ``Target.tried``."""
        return self._isolation.tried(self._deployed.locations(), stage)

    def fronts(self) -> list[Front]:
        """The Routes and Ingresses of the parts; see ``Target.fronts``."""
        return routes(self.api, self._endpoints, self._deployed.locations())

    def _plan(self, part: Part, stage: Stages) -> manifests.Plan:
        """What to apply, as much of it as was asked for."""
        plan = manifests.plan(part, self.api, self._recipes)
        return scaling.as_asked(plan, part, self.api, self.store, stage)
