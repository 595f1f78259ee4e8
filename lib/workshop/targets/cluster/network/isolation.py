"""Policies of the network: applied from ``manifests/network``, and tried from pods.

The kit's own namespace is closed both ways; what is open, ``workshop.targets.network`` declares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from workshop.core.errors import StepMissing
from workshop.core.progress import Stages
from workshop.targets import network
from workshop.targets.base import Endpoint, Route
from workshop.targets.cluster import namespaces, objects, pod_status
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.delete import NETWORK, Cleaning
from workshop.targets.cluster.deployed import AdoptedParts, DeployedParts
from workshop.targets.cluster.endpoints import Location
from workshop.targets.cluster.informer import Informer
from workshop.targets.cluster.manifests import ROUTE
from workshop.targets.cluster.network.probes import End, Probing

POLICY = ("networking.k8s.io/v1", "NetworkPolicy")
YOURS = "workshop-yours"  # The policy that lets Llama Stack out to an endpoint of the user's own.


class Isolation:
    """Works in the namespace of ``api``; see ``base.Network``."""

    def __init__(
        self, api: Api, informer: Informer, deployed: DeployedParts, adopted: AdoptedParts
    ) -> None:
        self._api = api
        self._informer = informer
        self._deployed = deployed
        self._adopted = adopted
        self._parts = deployed.parts

    def declared(self) -> network.Matrix:
        """Who may talk to whom, on a cluster like this one."""
        return self._parts.declared(self._shape(self._deployed.locations()))

    def isolate(self, yours: Mapping[str, Endpoint], *, stage: Stages) -> list[str]:
        """Close the namespace, and open the ways that are declared; gives the policies' names."""
        parts = self._deployed.locations()
        if not parts:
            raise StepMissing(
                "There is nothing to secure yet.", where=self._api.where, hint="run 02 to 07 first"
            )
        namespaces.ensure(self._api, stage)
        wanted = built(self._shape(parts))
        wanted += opening(self._parts.further_ways, self._parts.peers)
        adopted = {n: e for n in self._deployed.names if (e := self._adopted.find(n))}
        if asked := {**yours, **adopted}:
            (asking,) = [peer for peer in self._parts.peers if peer.name == "llama-stack"]
            wanted.append(_yours(asked, asking))
        others = self._others()
        if others:
            stage(f"not of the kit, and out of reach from now on: {', '.join(others)}")
        # First what is open: a namespace that was closed before would break what runs in it.
        wanted.sort(key=lambda policy: policy["metadata"]["name"] == "workshop-default-deny")
        for policy in wanted:
            self._api.apply(policy)
        for removed in Cleaning(self._api).prune(NETWORK, wanted):
            stage(f"removed {removed}, which is not needed any more")
        names = [str(policy["metadata"]["name"]) for policy in wanted]
        stage(f"applied {len(names)} policies")
        return names

    def tried(self, *, stage: Stages) -> network.Matrix:
        """Try every way for real, from pods that carry the labels that policies select by."""
        parts = self._deployed.locations()
        found = self._parts.ways(self._shape(parts))
        allowed = {(way.source, way.destination, way.port) for way in found}
        return Probing(self._api, allowed).tried(self._ends(parts), self._labels(parts), stage)

    def routes(self) -> list[Route]:
        """The Routes and Ingresses of the parts."""
        return self._deployed.store.endpoints.routes(self._deployed.locations().values())

    def _shape(self, parts: Mapping[str, Location]) -> network.Shape:
        model, stack = parts.get("model"), parts.get("llama-stack")
        routed = {route["spec"]["to"]["name"] for route in self._api.list(*ROUTE)}
        return network.Shape(
            guarded=model is not None and model.port == network.GUARDED,
            routed=stack is not None and bool(stack.route or stack.ingress),
            exposed=model is not None and model.service in routed,
        )

    def _ends(self, parts: Mapping[str, Location]) -> list[End]:
        """Every port on which a Ready part is known to listen: a silent one would look closed."""
        ends = []
        for name, location in parts.items():
            for pod in pod_status.ready(self._informer.all("v1", "Pod"), location.pods)[:1]:
                ports = {location.port, *location.also.values()}
                # Behind the proxy, what it leads to: another pod's connection would pass it by.
                ports |= {network.PLAIN} if location.port == network.GUARDED else set()
                ends += [End(name, str(pod["status"]["podIP"]), port) for port in sorted(ports)]
        return ends

    def _labels(self, parts: Mapping[str, Location]) -> dict[str, Mapping[str, str]]:
        """The labels by which the pods of each peer are selected: those of what really runs."""
        found: dict[str, Mapping[str, str]] = {}
        pods = self._informer.all("v1", "Pod")
        for peer in self._parts.peers:
            location = parts.get(peer.name)
            own = pod_status.current(pods, location.pods, "") if location else []
            running = [
                labels
                for pod in own
                for labels in peer.labels
                if labels.items() <= objects.labels_of(pod).items()
            ]
            # Of the pods of an update, the last counts; of a part that is not there, the first.
            for labels in (running[::-1] or peer.labels)[:1]:
                found[peer.name] = labels
        return found

    def _others(self) -> list[str]:
        """Pods that no policy of the kit lets anywhere."""
        known = [labels for peer in self._parts.peers for labels in peer.labels]
        names = []
        for pod in self._informer.all("v1", "Pod"):
            have = objects.labels_of(pod)
            ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
            if ended or pod_status.PROBE in have or "notebook-name" in have:
                continue
            if not any(labels.items() <= have.items() for labels in known):
                names.append(str(pod["metadata"]["name"]))
        return sorted(names)


def built(shape: network.Shape) -> list[Object]:
    """The policies of ``manifests/network`` for a cluster of this shape."""
    wanted = {
        "overlays/openshift": shape.guarded,
        "overlays/kubernetes": not shape.guarded,
        "router": shape.routed,
        "model-router": shape.exposed,
    }
    folder = objects.MANIFESTS / NETWORK
    return [
        policy
        for name, is_wanted in wanted.items()
        if is_wanted
        for policy in objects.build(folder / name)
    ]


def opening(ways: Iterable[network.Way], peers: Iterable[network.Peer]) -> list[Object]:
    """Policies for ways that ``manifests/network`` has none for: in at an end, out at a start."""
    named = {peer.name: peer for peer in peers}
    found = []
    for way in ways:
        source, end = named[way.source], named[way.destination]
        ports = [{"protocol": "TCP", "port": way.port}]
        name = f"workshop-{way.source}-to-{way.destination}-{way.port}"
        found.append(
            _policy(f"{name}-in", end, "Ingress", {"from": _peers(source), "ports": ports})
        )
        if source.labels:
            found.append(
                _policy(f"{name}-out", source, "Egress", {"to": _peers(end), "ports": ports})
            )
    return found


def _peers(peer: network.Peer) -> list[Object]:
    outside = [
        {"namespaceSelector": {"matchLabels": dict(labels)}, "podSelector": {}}
        for labels in peer.namespaces
    ]
    return [*([{"podSelector": _selector(peer)}] if peer.labels else []), *outside]


def _selector(peer: network.Peer) -> Object:
    """Selects the pods of every generation: all are told apart by the value of one label."""
    ((key, _),) = peer.labels[0].items()
    if peer == network.NOTEBOOK:
        return {"matchExpressions": [{"key": key, "operator": "Exists"}]}
    values = [labels[key] for labels in peer.labels]
    return {"matchExpressions": [{"key": key, "operator": "In", "values": values}]}


def _policy(name: str, chosen: network.Peer, direction: str, *rules: Object) -> Object:
    spec: Object = {"podSelector": _selector(chosen), "policyTypes": [direction]}
    spec[direction.lower()] = list(rules)
    return objects.made(*POLICY, {"name": name, "labels": objects.labels(NETWORK)}, spec=spec)


def _yours(endpoints: Mapping[str, Endpoint], asking: network.Peer) -> Object:
    """Llama Stack may go to these endpoints: by namespace where that is known, else by port."""
    rules = []
    for endpoint in endpoints.values():
        host, port = urlsplit(endpoint.peer_url).hostname or "", endpoint.port
        parts = host.split(".")
        rule: Object = {"ports": [{"protocol": "TCP", "port": port}]}
        if len(parts) >= 3 and parts[2] == "svc":
            # A rule is held against the pod's port, which a Service may map: all ports there.
            name = {"kubernetes.io/metadata.name": parts[1]}
            rule = {"to": [{"namespaceSelector": {"matchLabels": name}, "podSelector": {}}]}
        rules.append(rule)
    return _policy(YOURS, asking, "Egress", *rules)
