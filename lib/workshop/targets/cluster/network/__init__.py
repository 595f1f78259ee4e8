"""Policies of the network: applied from ``manifests/network``, and tried from pods.

The kit's own namespace is closed both ways; what is open, ``workshop.targets.network`` declares.
"""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from workshop.core.errors import StepMissing
from workshop.core.progress import Stages
from workshop.targets import network
from workshop.targets.base import Endpoint, Route
from workshop.targets.cluster import delete, namespaces, objects, pod_status
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.delete import NETWORK
from workshop.targets.cluster.endpoints import Location
from workshop.targets.cluster.informer import Informer
from workshop.targets.cluster.manifests import ROUTE, llama_stack
from workshop.targets.cluster.network.policies import part_of
from workshop.targets.cluster.network.probes import End, Probing
from workshop.targets.cluster.store import DeployedParts

POLICY = ("networking.k8s.io/v1", "NetworkPolicy")
YOURS = "workshop-yours"  # The policy that lets Llama Stack out to an endpoint of the user's own.


class Isolation:
    """Works in the namespace of ``api``; see ``base.Network``."""

    def __init__(self, api: Api, informer: Informer, deployed: DeployedParts) -> None:
        self._api = api
        self._informer = informer
        self._deployed = deployed
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
        peers = {peer.name: peer for peer in self._parts.peers}
        wanted = [*built(self._shape(parts)), *opening(self._parts.further_ways, peers)]
        if llama_stack.serves(self._api):
            wanted += objects.build(objects.MANIFESTS / NETWORK / "operator")
        adopted = {n: e for n in self._deployed.names if (e := self._deployed.adopted(n))}
        if asked := {**yours, **adopted}:
            wanted.append(reaching(asked, peers["llama-stack"]))
        if others := self._others():
            stage(f"not of the kit, and out of reach from now on: {', '.join(others)}")
        # First what is open: a namespace that was closed before would break what runs in it.
        wanted.sort(key=lambda policy: policy["metadata"]["name"] == "workshop-default-deny")
        for policy in wanted:
            self._api.apply(policy)
        for removed in delete.prune(self._api, NETWORK, wanted):
            stage(f"removed {removed}, which is not needed any more")
        names = [str(policy["metadata"]["name"]) for policy in wanted]
        stage(f"applied {len(names)} policies")
        return names

    def tried(self, *, stage: Stages) -> network.Matrix:
        """Try every way for real, from pods that carry the labels that policies select by."""
        parts = self._deployed.locations()
        ways = self._parts.ways(self._shape(parts))
        return Probing(self._api, ways, stage).tried(self._ends(parts), self._labels(parts))

    def routes(self) -> list[Route]:
        """The Routes and Ingresses of the parts."""
        return self._deployed.store.endpoints.routes(self._deployed.locations().values())

    def _shape(self, parts: Mapping[str, Location]) -> network.Shape:
        model, stack = parts.get("model"), parts.get("llama-stack")
        routed = {route["spec"]["to"]["name"] for route in self._api.list(*ROUTE)}
        return network.Shape(
            guarded=bool(model and model.port == network.GUARDED),
            routed=bool(stack and (stack.route or stack.ingress)),
            exposed=bool(model and model.service in routed),
        )

    def _ends(self, parts: Mapping[str, Location]) -> list[End]:
        """Every port on which a Ready part is known to listen: a silent one would look closed."""
        ends = []
        for name, location in parts.items():
            for pod in self._deployed.ready_pods(location)[:1]:
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
        names = []
        for pod in self._informer.all("v1", "Pod"):
            have = objects.labels_of(pod)
            ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
            known = pod_status.PROBE in have or "notebook-name" in have
            if not ended and not known and not part_of(have, self._parts.peers):
                names.append(str(pod["metadata"]["name"]))
        return sorted(names)


def built(shape: network.Shape) -> list[Object]:
    """The policies of ``manifests/network`` for a cluster of this shape."""
    folders = ["overlays/openshift" if shape.guarded else "overlays/kubernetes"]
    folders += ["router"] if shape.routed else []
    folders += ["model-router"] if shape.exposed else []
    every = (objects.build(objects.MANIFESTS / NETWORK / folder) for folder in folders)
    return [policy for folder in every for policy in folder]


def opening(ways: Iterable[network.Way], peers: Mapping[str, network.Peer]) -> list[Object]:
    """Policies for ways that ``manifests/network`` has none for: in at an end, out at a start."""
    found = []
    for way in ways:
        source, end = peers[way.source], peers[way.destination]
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


def reaching(endpoints: Mapping[str, Endpoint], asking: network.Peer) -> Object:
    """Llama Stack may go to these endpoints: by namespace where that is known, else by port."""
    rules = []
    for endpoint in endpoints.values():
        parts = (urlsplit(endpoint.peer_url).hostname or "").split(".")
        rule: Object = {"ports": [{"protocol": "TCP", "port": endpoint.port}]}
        if len(parts) >= 3 and parts[2] == "svc":
            # A rule is held against the pod's port, which a Service may map: all ports there.
            name = {"kubernetes.io/metadata.name": parts[1]}
            rule = {"to": [{"namespaceSelector": {"matchLabels": name}, "podSelector": {}}]}
        rules.append(rule)
    return _policy(YOURS, asking, "Egress", *rules)
