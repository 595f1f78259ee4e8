"""Every way tried for real: probes are started, their logs are read, and they are removed.

A probe is never Ready, so that no Service sends it anything, and is owned by the kit's ConfigMap,
so that no controller adopts it. What it runs on, the MCP server's image has: Node.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from workshop.core import versions
from workshop.core.errors import PartFailed, PartTooSlow, SettingsError
from workshop.core.progress import Stages
from workshop.core.wait import NotYet, wait_for
from workshop.targets import network
from workshop.targets.cluster import delete, namespaces, objects, pod_status
from workshop.targets.cluster.api import MANAGER, Api, Object, at_once
from workshop.targets.cluster.delete import NETWORK
from workshop.targets.cluster.errors import Refused, Unreachable
from workshop.targets.cluster.manifests import USER, is_openshift
from workshop.targets.cluster.pod_status import PROBE

IMAGE = f"docker.io/mongodb/mongodb-mcp-server:{versions.MCP_SERVER}"
SCRIPT, POD = (Path(__file__).with_name(f"probe.{kind}") for kind in ("js", "yaml"))
PATIENCE = 2.0  # Seconds for one connection: what a policy refuses is silence, on most networks.
LIFE = 300  # Seconds after which a probe ends by itself, whatever became of the kit.
STARTED = 180.0  # Seconds until a probe runs: a node may have to pull the image.
SETTLED = 45.0  # Seconds for the cluster's network: policies take hold with a delay.

NAME = "kubernetes.default.svc.cluster.local"  # The name that each probe looks up.


@dataclass(frozen=True)
class Probe:
    """One pod. ``who`` is a peer's name; ``namespace`` "" is the kit's own."""

    who: str
    name: str
    labels: Mapping[str, str] = field(compare=False)
    namespace: str = ""


@dataclass(frozen=True)
class End:
    """Where a way leads: a part's port, at a pod's address."""

    name: str
    host: str
    port: int


def pod_of(
    probe: Probe, destinations: list[dict[str, Any]], *, fixes_user: bool, owner: Object | None
) -> Object:
    """The pod of a probe, owned by the kit's ConfigMap where that is in the same namespace.

    Each of ``destinations`` has a ``host`` and a ``port``, or a ``name`` to look up.
    """
    told = {"destinations": destinations, "listen": network.SIMULATED}
    told |= {"seconds": LIFE, "patience": PATIENCE}
    pod: Object = yaml.safe_load(POD.read_text(encoding="utf-8"))
    labels = objects.labels(NETWORK) | {PROBE: "true"} | dict(probe.labels)
    pod["metadata"] = {"name": probe.name, "labels": labels}
    if probe.namespace:
        pod["metadata"]["namespace"] = probe.namespace
    elif owner is not None:
        own = {key: owner["metadata"][key] for key in ("name", "uid")}
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "controller": True}
        pod["metadata"]["ownerReferences"] = [reference | own]
    pod["spec"]["activeDeadlineSeconds"] = LIFE
    if fixes_user:
        pod["spec"]["securityContext"]["runAsUser"] = USER
    pod["spec"]["containers"][0] |= {
        "image": IMAGE,
        "command": ["node", "-e", SCRIPT.read_text(encoding="utf-8")],
        "env": [{"name": "PROBE", "value": json.dumps(told)}],
        "ports": [{"containerPort": network.SIMULATED}],
    }
    return pod


class Probing:
    """Makes probes, reads what they saw, and removes them."""

    def __init__(self, api: Api, ways: Iterable[network.Way], stage: Stages) -> None:
        self._api = api
        self._allowed = {(way.source, way.destination, way.port) for way in ways}
        self._stage = stage

    def tried(self, ends: Sequence[End], labels: Mapping[str, Mapping[str, str]]) -> network.Matrix:
        """Try every way from every peer to every end, and to pods that simulate three more ends."""
        stage = self._stage
        delete.probes(self._api, stage)
        try:
            outside, remark = self._outside()
            listening = [
                Probe(who, f"workshop-end-{who}", labels[who]) for who in ("notebook", "stranger")
            ]
            elsewhere = [one for one in outside if one.who == network.ELSEWHERE.name]
            listening += [replace(one, name="workshop-end") for one in elsewhere]
            stage(f"starting {len(listening)} pods that listen")
            self._start(listening, [])
            found = self._addresses(listening)
            whole = [*ends, *(End(p.who, found[p], network.SIMULATED) for p in listening)]
            trying = [Probe(who, f"workshop-from-{who}", own) for who, own in labels.items()]
            trying += outside
            stage(f"starting {len(trying)} pods that try {len(whole) + 1} connections each")
            self._start(trying, whole)
            self._addresses(trying)
            seen = self._settled(trying, whole)
        finally:
            delete.probes(self._api, stage)
        wrong = sum(not one.agrees for one in seen)
        stage(f"tried {len(seen)} connections: {wrong or 'none'} not as declared")
        return network.Matrix(seen, remark)

    def _outside(self) -> tuple[list[Probe], str]:
        """Probes in namespaces of their own, where this user may make some."""
        peers = [peer for peer in network.OTHERS if peer.namespaces]
        if namespaces.way_to_make(self._api) != "Namespace":
            names = ", ".join(peer.name for peer in peers)
            remark = f"not tried, because this user may not create a namespace: {names}"
            self._stage(remark)
            return [], remark
        probes = []
        for peer in peers:
            # 63 letters at most; "another namespace" is "another".
            name = f"{self._api.namespace[:40]}-probe-{peer.name.split()[0]}"
            probes.append(Probe(peer.name, "workshop-from", {}, name))
            self._make_namespace(name, peer.namespaces[0])
        return probes, ""

    def _make_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        own = objects.labels(NETWORK) | {PROBE: self._api.namespace}
        level = {"pod-security.kubernetes.io/enforce": "restricted"}
        meta = {"name": name, "labels": own | level | dict(labels)}

        def made() -> object:
            there = self._api.get("v1", "Namespace", name)
            if there is not None and namespaces.is_terminating(there):
                return NotYet("the old one is not gone yet")
            if there is None:
                self._api.create(objects.made("v1", "Namespace", meta))
            elif own.items() - objects.labels_of(there).items():
                raise SettingsError(
                    f"There is a namespace {name}, and it is not the kit's.",
                    where=self._api.where,
                    hint=f"rename it, or work in another namespace than {self._api.namespace}",
                )
            # Pods are refused until it has its ServiceAccount.
            account = self._api.get("v1", "ServiceAccount", "default", name)
            return account or NotYet("its ServiceAccount is not there yet")

        wait_for(f"the namespace {name}", made, timeout=60, every=0.2, where=self._api.where)

    def _start(self, probes: Sequence[Probe], ends: Sequence[End]) -> None:
        destinations: list[dict[str, Any]] = [{"host": e.host, "port": e.port} for e in ends]
        if ends:
            destinations.append({"name": NAME})
        owner = self._api.get("v1", "ConfigMap", MANAGER)
        fixes_user = not is_openshift(self._api)
        pods = [pod_of(one, destinations, fixes_user=fixes_user, owner=owner) for one in probes]
        at_once(self._api.create, pods)

    def _addresses(self, probes: Sequence[Probe]) -> dict[Probe, str]:
        """The address of each, once it says that it listens."""
        found: dict[Probe, str] = {}

        def up() -> object:
            for probe in [one for one in probes if one not in found]:
                pod = self._api.get("v1", "Pod", probe.name, probe.namespace)
                if pod is None:
                    raise self._failed(probe, "was removed")
                events = self._api.list("v1", "Event", namespace=probe.namespace)
                seen = pod_status.Seen([pod], (), (), events)
                blocker = pod_status.find(seen)
                if blocker is not None:
                    raise self._failed(probe, blocker.what, blocker.state, blocker.hint)
                address = (pod.get("status") or {}).get("podIP", "")
                if not address or not self._lines(probe, 1):
                    return NotYet(pod_status.describe(seen))
                found[probe] = str(address)
            return True

        wait_for(
            "the probes to run",
            up,
            timeout=STARTED,
            stage=self._stage,
            every=0.3,
            where=self._api.where,
            hint="kubectl describe pod -l " + PROBE,
        )
        return found

    def _settled(self, probes: Sequence[Probe], ends: Sequence[End]) -> list[network.Tried]:
        """What each saw, once two rounds in a row are as declared; or after ``SETTLED`` seconds."""
        seen: dict[Probe, list[network.Tried]] = {}
        undecided: set[Probe] = set(probes)

        def agreed() -> object:
            for probe in sorted(undecided, key=lambda one: one.name):
                rounds = [self._read(probe, ends, one) for one in self._lines(probe, 2)]
                rounds = [one for one in rounds if one]
                if rounds:
                    seen[probe] = rounds[-1]
                if len(rounds) == 2 and all(one.agrees for both in rounds for one in both):
                    undecided.discard(probe)
            wrong = [o.name for probe in undecided for o in seen.get(probe, []) if not o.agrees]
            waiting = ", ".join(wrong[:3]) or f"{len(undecided)} probes still run"
            return NotYet(waiting) if undecided else True

        try:
            wait_for("every connection", agreed, timeout=SETTLED, stage=self._stage, every=0.5)
        except PartTooSlow:
            silent = [probe for probe in probes if probe not in seen]
            if silent:
                raise self._failed(silent[0], "said nothing") from None
        return [one for probe in probes for one in seen[probe]]

    def _read(self, probe: Probe, ends: Sequence[End], line: str) -> list[network.Tried]:
        said = json.loads(line)
        if not isinstance(said, list):
            return []
        ways = [(probe.who, end.name, end.port) for end in ends]
        found = [
            network.Tried(*way, way in self._allowed, word)
            for way, word in zip(ways, said, strict=False)
            if network.is_ours(*way[:2])
        ]
        return [*found, network.Tried(probe.who, "DNS", 0, True, said[-1])]

    def _lines(self, probe: Probe, count: int) -> list[str]:
        try:
            read = self._api.logs(probe.name, "probe", lines=count, namespace=probe.namespace)
            # A line that is only half written is not read yet.
            return [line for line in read if line.endswith(("]", "}"))]
        except (Refused, Unreachable):
            # Its container does not run yet, or the node is slow to say.
            return []

    def _failed(
        self, probe: Probe, what: str, state: str = "", hint: str = "kubectl get events"
    ) -> PartFailed:
        what = f"The probe {probe.name} {what}."
        return PartFailed(what, where=self._api.where, state=state, hint=hint)
