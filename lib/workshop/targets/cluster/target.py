"""The cluster target: each part is Kubernetes objects in one namespace."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

from workshop.core.checks import Check
from workshop.core.progress import Stages, stages
from workshop.core.secret import mask
from workshop.core.wait import wait_for
from workshop.targets.base import (
    Deployed,
    Endpoint,
    Part,
    PartStatus,
    Problem,
    Ready,
    Scale,
    Statuses,
)
from workshop.targets.cluster import delete, doctor, namespaces, preflight, scaling
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.endpoints import Location
from workshop.targets.cluster.informer import Informer
from workshop.targets.cluster.machines import GpuMachines
from workshop.targets.cluster.manifests import Plan, Planner, llama_stack, planner_of
from workshop.targets.cluster.network import Isolation
from workshop.targets.cluster.rollout import Rollout, apply
from workshop.targets.cluster.store import DeployedParts, Store, fact
from workshop.targets.spec import Parts

STATUS = "workshop status --target cluster"  # The command that lists the parts.


class Replicas:
    """How much of a part runs; what was asked for is kept, and ``ensure`` reads it."""

    def __init__(self, target: ClusterTarget) -> None:
        self._target = target

    def reason(self, part: Part) -> str | None:
        """What a second replica could not share; see ``base.Scaling``."""
        if self._target.deployed.adopted_url(part.name) is not None:
            return "it is an endpoint of your own"
        return scaling.reason(self._target.plan(part))

    def scale(
        self, part: Part, scale: Scale, *, ready: Ready, timeout: float, stage: Stages
    ) -> Deployed:
        """Make this much of a part run; see ``base.Scaling``."""
        target, plan = self._target, self._target.plan(part)
        scaling.refuse(part, plan, scale, target.api.where)
        target.store.remember(scaling.fact(part.name), scaling.text(scale))
        deployed = target.ensure(part, ready=ready, timeout=timeout, stage=stage)
        # An autoscaler that is not wanted any more goes.
        wanted = scaling.applied(plan, part.name, scale, 0).objects
        delete.prune(target.api, part.name, wanted)
        return deployed

    def replicas(self, name: str) -> list[Endpoint]:
        """Each pod that takes requests; see ``base.Scaling``."""
        target = self._target
        if target.deployed.adopted_url(name) is not None:
            return [target.find(name)]
        location = target.deployed.running(name)
        ready = functools.partial(target.deployed.ready_pods, location)
        return [target.store.endpoints.replica(location, pod, ready) for pod in ready()]


class ClusterTarget:
    """Deploys to one namespace, and reaches what runs there from wherever this code runs.

    ``parts`` are all that there are; ``planners`` say what one is, in place of the kit's own.
    """

    name = "cluster"

    def __init__(self, api: Api, parts: Parts, planners: Mapping[str, Planner] = {}) -> None:
        self.api = api
        self.parts = parts
        self._planners = planners
        self._informer = Informer(api)
        self.store = Store(api)
        self.deployed = DeployedParts(api, self._informer, self.store, parts)
        self.scaling = Replicas(self)
        self.machines = GpuMachines(api, self._informer)
        self.network = Isolation(api, self._informer, self.deployed)

    def environment(self) -> list[Check]:
        """What this cluster offers, and what this user may do."""
        return preflight.checks(self.api)

    def problems(self) -> list[Problem]:
        """What the cluster knows to be wrong; see ``Target.problems``."""
        return doctor.problems(self.api, self.deployed, self.network)

    def skip_reason(self, _part: str) -> str | None:
        """None: a cluster has room for each."""
        return None

    @property
    def operated(self) -> Mapping[str, str]:
        """The server that this cluster's operator runs, if there is one."""
        server = llama_stack.serves(self.api)
        return {llama_stack.NAME: server} if server else {}

    def ensure(self, part: Part, *, ready: Ready, timeout: float, stage: Stages) -> Deployed:
        """Make the part run with these settings; see ``Target.ensure``."""
        namespaces.ensure(self.api, stage)
        plan = scaling.as_asked(self.plan(part), part, self.api, self.store, stage)
        was_up = part.name in self.deployed.locations()
        action = apply(self.api, part.name, plan, stage, was_up=was_up)
        rollout = Rollout(self.api, self._informer, part.name, plan)
        location, endpoints = Location.of(plan, part), self.store.endpoints

        wait_for(
            f"{part.name} to answer",
            lambda: rollout.up(lambda: ready(endpoints.endpoint(location, rollout.pods))),
            timeout=timeout,
            stage=stage,
            every=0.1,
            where=self.api.where,
            log=rollout.log,
            hint=f"workshop logs {part.name} --target cluster; kubectl get events",
        )
        if self.deployed.adopted_url(part.name) is not None:
            self.deployed.forget(part.name)
        self.store.remember(fact(part.name), location.text())
        endpoint = endpoints.endpoint(location, rollout.pods)
        stage(f"ready at {endpoint.peer_url} ({action})")
        return Deployed(part.name, endpoint, action, round(stage.seconds, 1))

    def prestart(self, part: Part) -> Endpoint | None:
        """Apply a part's objects; the notebook that deploys it waits for them."""
        with stages(part.name) as stage:
            namespaces.ensure(self.api, stage)
            plan = scaling.as_asked(self.plan(part), part, self.api, self.store, stage)
            apply(self.api, part.name, plan, stage, was_up=False)
        return self.store.endpoints.peer(Location.of(plan, part))

    def adopt(self, name: str, endpoint: Endpoint) -> Deployed:
        """Use an endpoint that somebody else runs; our own objects for this part go."""
        self.stop(name)
        self.deployed.adopt(name, endpoint)
        return Deployed(name, endpoint, "adopted", 0.0)

    def find(self, name: str) -> Endpoint:
        """How to reach a part that runs; see ``Target.find``."""
        adopted = self.deployed.adopted(name)
        if adopted is not None:
            return adopted
        location = self.deployed.running(name)
        ready = functools.partial(self.deployed.ready_pods, location)
        return self.store.endpoints.endpoint(location, ready)

    def status(self) -> Statuses:
        """One line a part that was deployed or taken over."""
        rows = Statuses()
        if not namespaces.is_visible(self.api):
            return rows
        locations = self.deployed.locations()
        for name in self.deployed.names:
            url = self.deployed.adopted_url(name)
            if url is not None:
                rows.append(PartStatus(name, "yours", url, "an endpoint of your own"))
            elif name in locations:
                rows.append(self.deployed.status(name, locations[name]))
        return rows

    def logs(self, name: str, *, lines: int = 100, follow: bool = False) -> Iterator[str]:
        """The log of a part's pods, or of the newest to be followed, without secrets."""
        part, hidden = self.parts.named(name, self.name, STATUS), self.store.secrets()
        read = self.deployed.follow if follow else self.deployed.log
        for line in read(part, lines):
            yield mask(line, hidden)

    def stop(self, name: str | None = None) -> list[str]:
        """Remove one part's objects, or those of all; volumes and credentials stay."""
        names = [self.parts.named(name, self.name, STATUS)] if name else self.deployed.names[::-1]
        stopped = []
        for part in names:
            self.store.remember(fact(part), None)
            if delete.remove(self.api, part):
                stopped.append(part)
        return stopped

    def clean_up(self, *, data: bool, stage: Stages | None = None) -> list[str]:
        """Remove what carries the kit's label; volumes and credentials too when ``data``."""
        try:
            self.store.written = None
            names = self.deployed.names[::-1]
            removed = delete.everything(self.api, names, data=data, stage=stage)
        finally:
            # Last, because the parts leave their nodes before these are drained; and whatever
            # happened, because they cost money.
            machines = self.machines.remove()
        return removed + machines

    def leftovers(self, *, data: bool = False) -> list[str]:
        """What the kit, or an operator for it, made and is still there; data when ``data``."""
        return delete.left(self.api, data=data) + self.machines.left()

    def plan(self, part: Part) -> Plan:
        """What a part is on this cluster, with one replica."""
        return (self._planners.get(part.name) or planner_of(part.name))(part, self.api)
