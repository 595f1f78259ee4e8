"""The policies in ``manifests/network`` say exactly what ``workshop.targets.network`` declares.

A way is open when a policy lets its source out and a policy lets it in at its destination. Held are
all pairs of peers, in every generation of their labels, on every port that is named anywhere.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from workshop.parts.catalog import ALL
from workshop.targets import network
from workshop.targets.cluster import objects
from workshop.targets.cluster.network import built, opening
from workshop.targets.network import Shape
from workshop.targets.spec import Page, Parts, Spec

Object = dict[str, Any]
OWN = "attendee-1"
SHAPES = [
    Shape(),
    Shape(routed=True),
    Shape(guarded=True, routed=True),
    Shape(guarded=True, routed=True, exposed=True),
]
NEVER = (22, 443, 6443, 8888, 53, 3306)
"""Ports that nobody is let in on, tried besides those that are declared."""


@dataclass(frozen=True)
class Pod:
    """Somebody with these labels, in a namespace with those."""

    name: str
    labels: Mapping[str, str]
    namespace: str
    of_namespace: Mapping[str, str]


def pods(parts: Parts) -> Iterator[Pod]:
    """Every peer, once for each generation of labels."""
    for peer in parts.peers:
        for labels in peer.labels:
            yield Pod(peer.name, labels, OWN, {"kubernetes.io/metadata.name": OWN})
        for labels in peer.namespaces:
            where = {"kubernetes.io/metadata.name": "elsewhere", **labels}
            yield Pod(peer.name, {}, "elsewhere", where)


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for one in selector.get("matchExpressions", []):
        assert one["operator"] in ("In", "Exists"), one
        if one["operator"] == "Exists" and one["key"] not in labels:
            return False
        if one["operator"] == "In" and labels.get(one["key"]) not in one["values"]:
            return False
    return True


def is_peer(peer: Object, other: Pod) -> bool:
    """Blocks of addresses are the internet's, where no peer is."""
    if "ipBlock" in peer:
        return False
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], other.of_namespace):
            return False
    elif other.namespace != OWN:
        return False
    return selects(peer.get("podSelector", {}), other.labels)


def passes(policies: Iterable[Object], one: Pod, other: Pod, port: int, way: str) -> bool:
    """Whether ``one`` is let out to, or lets in, ``other``."""
    word, side = ("egress", "to") if way == "Egress" else ("ingress", "from")
    if one.namespace != OWN:
        return True
    chosen = [
        policy["spec"]
        for policy in policies
        if way in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], one.labels)
    ]
    for rule in itertools.chain.from_iterable(spec.get(word, []) for spec in chosen):
        peers, ports = rule.get(side), rule.get("ports")
        right = any(p["port"] == port and p["protocol"] == "TCP" for p in ports)
        if right and (not peers or any(is_peer(peer, other) for peer in peers)):
            return True
    return not chosen


def opened(policies: Iterable[Object], parts: Parts = ALL) -> set[tuple[str, str, int]]:
    """All ways that the policies leave open between peers."""
    policies = list(policies)
    ports = {way.port for shape in SHAPES for way in parts.ways(shape)} | set(NEVER)
    found: dict[tuple[str, str, int], set[bool]] = {}
    for source, destination in itertools.product(pods(parts), repeat=2):
        for port in ports:
            is_open = passes(policies, source, destination, port, "Egress") and passes(
                policies, destination, source, port, "Ingress"
            )
            found.setdefault((source.name, destination.name, port), set()).add(is_open)
    mixed = [way for way, seen in found.items() if len(seen) > 1]
    assert not mixed, f"generations of labels differ: {mixed}"
    return {
        way
        for way, seen in found.items()
        # What two others outside do is not ours.
        if seen == {True} and not ({way[0], way[1]} <= network.OUTSIDE)
    }


def declared(shape: Shape, parts: Parts = ALL) -> set[tuple[str, str, int]]:
    found = parts.ways(shape)
    return {(way.source, way.destination, way.port) for way in found}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_policies_say_what_is_declared(shape: Shape) -> None:
    found = opened(built(shape))
    # The notebook may go anywhere by these two: to the API server, whose address has no label. So
    # may the proxy before the model.
    who = ["notebook", *(["model"] if shape.guarded else [])]
    anywhere = set(itertools.product(who, network.OUTSIDE, (443, 6443)))
    ours = {(source, name, port) for source, name, port in anywhere if port in NEVER}
    assert ours <= found
    assert found - ours == declared(shape)


def test_a_part_that_no_policy_names_is_asked_by_notebooks_and_its_metrics_are_read() -> None:
    page = Page("cache", "cache", 9150, exporter="cache-exporter")
    cache = Spec(name="cache", notebook="11", port=11211, beside=("cache-exporter",), page=page)
    parts = Parts((*ALL, cache))
    assert ALL.further_ways == ()
    assert {(way.source, way.destination, way.port) for way in parts.further_ways} == {
        ("notebook", "cache", 11211),
        ("prometheus", "cache-exporter", 9150),
        ("monitoring", "cache-exporter", 9150),
    }
    peers = {peer.name: peer for peer in parts.peers}
    policies = [*built(Shape()), *opening(parts.further_ways, peers)]
    found = opened(policies, parts)
    anywhere = {("notebook", name, port) for name in network.OUTSIDE for port in (443, 6443)}
    assert found - anywhere == declared(Shape(), parts)


def test_a_policy_that_opens_more_or_less_is_noticed() -> None:
    policies = built(Shape())
    wider, narrower = copy.deepcopy(policies), copy.deepcopy(policies)
    by_name = {policy["metadata"]["name"]: policy for policy in wider}
    by_name["workshop-embedder"]["spec"]["ingress"][0]["from"].append({"podSelector": {}})
    by_name["workshop-mcp-server"]["spec"]["egress"][0]["to"].append(
        {"podSelector": {"matchLabels": {"app": "embedder"}}}
    )
    by_name["workshop-mcp-server"]["spec"]["egress"][0]["ports"][0]["port"] = 8081
    assert ("mcp-server", "embedder", 8081) in opened(wider)
    one = next(p for p in narrower if p["metadata"]["name"] == "workshop-llama-stack")
    one["spec"]["podSelector"]["matchExpressions"][0]["values"] = ["llama-stack"]
    with pytest.raises(AssertionError, match="generations of labels differ"):
        opened(narrower)


def test_without_policies_everything_is_open() -> None:
    assert ("stranger", "mongodb", 27017) in opened([])


def test_behind_the_proxy_only_the_monitoring_reaches_the_model_itself() -> None:
    found = opened(built(Shape(guarded=True, routed=True)))
    assert [way for way in sorted(found) if way[1:] == ("model", 8080)] == [
        ("monitoring", "model", 8080)
    ]


def test_what_is_fetched_is_fetched_from_the_internet_alone() -> None:
    policies = built(Shape())
    one = next(p for p in policies if p["metadata"]["name"] == "workshop-internet")
    (rule,) = one["spec"]["egress"]
    (block,) = (peer["ipBlock"] for peer in rule["to"])
    for private in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"):
        assert private in block["except"]
    assert [port["port"] for port in rule["ports"]] == [443]


def test_every_pod_may_look_up_names_and_no_other_place_is_asked() -> None:
    policies = built(Shape())
    (one,) = (p for p in policies if p["metadata"]["name"] == "workshop-dns")
    assert one["spec"]["podSelector"] == {}
    (rule,) = one["spec"]["egress"]
    ports = {(port["protocol"], port["port"]) for port in rule["ports"]}
    assert ports == {(p, n) for p in ("UDP", "TCP") for n in (53, 5353)}
    names = rule["to"][0]["namespaceSelector"]["matchExpressions"][0]["values"]
    assert names == ["openshift-dns", "kube-system"]


def test_the_labels_are_those_that_the_parts_have() -> None:
    """A selector that matches no pod would leave the namespace shut."""
    real = {}
    watching = ("collector/base", "prometheus/base")
    for folder in (
        "mongodb/base",
        "mongodb-replicas/base",
        "postgresql/base",
        "mcp-server/base",
        "embedder/base",
        "model/deployment",
        *watching,
    ):
        for thing in objects.build(objects.MANIFESTS / folder):
            if thing["kind"] in ("Deployment", "StatefulSet", "Job"):
                real[thing["metadata"]["name"]] = thing["spec"]["template"]["metadata"]["labels"]
    for thing in objects.build(objects.MANIFESTS / "llama-stack/overlays/kubernetes"):
        if thing["kind"] == "Deployment":
            real["llama-stack"] = thing["spec"]["template"]["metadata"]["labels"]
    assert len(real) == 12
    for name, labels in real.items():
        fitting = [
            peer.name
            for peer in ALL.peers
            if any(own.items() <= labels.items() for own in peer.labels)
        ]
        assert len(fitting) == 1, name
