"""NetworkPolicies on the test cluster bite, and the kit's say what they declare: by trying, and by
cyclonus's analysis of the same manifests."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small
from testcluster import cyclonus, software
from testcluster.cyclonus import End
from testcluster.kubectl import apply, kubectl
from testcluster.node import Node
from testcluster.place import Place
from testcluster.policy_rules import ruleset
from workshop.core.errors import PartFailed
from workshop.core.progress import Stages
from workshop.parts.catalog import ALL
from workshop.targets import network
from workshop.targets.cluster import network as cluster_network
from workshop.targets.cluster.network import probes
from workshop.targets.cluster.target import ClusterTarget
from workshop.targets.network import Shape

NAMESPACE = "policies"
SHAPES = [
    Shape(),
    Shape(routed=True),
    Shape(guarded=True, routed=True),
    Shape(guarded=True, routed=True, exposed=True),
]

pytestmark = pytest.mark.timeout(900)


# --- what the manifests say, by analysis ----------------------------------------------------------


def ends(peer: network.Peer) -> Iterator[End]:
    """A peer, once for each generation of its labels."""
    own, other = "attendee-1", "elsewhere"
    for labels in peer.labels:
        yield End(labels, own, {"kubernetes.io/metadata.name": own})
    for labels in peer.namespaces:
        yield End({}, other, {"kubernetes.io/metadata.name": other, **labels})


def policies(shape: Shape) -> list[dict[str, Any]]:
    found = cluster_network.built(shape)
    for one in found:
        one["metadata"]["namespace"] = "attendee-1"
    return found


def disagreements(
    analyst: Path, given: list[dict[str, Any]], declared: network.Matrix
) -> list[str]:
    """The pairs on which cyclonus does not agree with what is declared."""
    peers = {peer.name: peer for peer in ALL.peers}
    ways, expected = [], []
    for one in declared:
        source, destination = peers[one.source], peers[one.destination]
        for pair in itertools.product(ends(source), ends(destination)):
            ways.append((*pair, one.port))
            expected.append(one)
    verdicts = cyclonus.allowed(analyst, given, ways)
    return [
        one.name for one, verdict in zip(expected, verdicts, strict=True) if verdict != one.allowed
    ]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cyclonus_agrees_with_the_declaration_on_every_pair(analyst: Path, shape: Shape) -> None:
    declared = ALL.declared(shape)
    assert len(declared) > 100
    assert disagreements(analyst, policies(shape), declared) == []


def test_cyclonus_notices_a_policy_that_opens_too_much(analyst: Path) -> None:
    given = copy.deepcopy(policies(Shape()))
    one = next(p for p in given if p["metadata"]["name"] == "workshop-mongodb")
    one["spec"]["ingress"][0]["from"].append({"namespaceSelector": {}})
    declared = ALL.declared(Shape())
    found = disagreements(analyst, given, declared)
    assert "another namespace to mongodb:27017" in found
    assert "llama-stack to mongodb:27017" not in found, "it is not let out"


# --- the engine's rules ---------------------------------------------------------------------------


def pod(name: str, ip: str, namespace: str = "a", phase: str = "Running", **labels: str) -> Any:
    ports = [{"name": "http", "containerPort": 8080}]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "main", "ports": ports}]},
        "status": {"podIP": ip, "phase": phase},
    }


def policy(**spec: Any) -> Any:
    return {"metadata": {"name": "p", "namespace": "a"}, "spec": spec}


PODS = [pod("x", "10.0.0.1", app="x"), pod("y", "10.0.0.2", app="y"), pod("z", "10.0.0.3", "b")]
SPACES = [{"metadata": {"name": name, "labels": {"name": name}}} for name in ("a", "b")]


def chains(*given: Any, pods: list[Any] = PODS) -> dict[str, list[str]]:
    """The rules of each pod's chain."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in ruleset(given, pods, SPACES).splitlines():
        words = line.split()
        if words[:1] == ["chain"]:
            name = words[1]
        elif words and words[-1] in ("return", "drop"):
            found.setdefault(name, []).append(line.strip())
    return found


def test_only_selected_pods_are_closed_and_only_in_the_directions_that_are_named() -> None:
    one = policy(podSelector={"matchLabels": {"app": "x"}}, policyTypes=["Ingress"])
    assert chains(one) == {"ingress_10_0_0_1": ["counter drop"]}
    everything = policy(podSelector={}, policyTypes=["Ingress", "Egress"])
    assert set(chains(everything)) == {
        *("ingress_10_0_0_1", "egress_10_0_0_1", "ingress_10_0_0_2", "egress_10_0_0_2")
    }
    assert chains() == {}


@pytest.mark.parametrize(
    ("peer", "rule"),
    [
        ({"podSelector": {}}, "ip saddr { 10.0.0.1, 10.0.0.2 } tcp dport 80 return"),
        (
            {"podSelector": {"matchLabels": {"app": "y"}}},
            "ip saddr { 10.0.0.2 } tcp dport 80 return",
        ),
        (
            {"namespaceSelector": {"matchLabels": {"name": "b"}}},
            "ip saddr { 10.0.0.3 } tcp dport 80 return",
        ),
        (
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
            "ip saddr 10.0.0.0/8 ip saddr != { 10.1.0.0/16 } tcp dport 80 return",
        ),
        ({"namespaceSelector": {"matchLabels": {"name": "c"}}}, None),
    ],
)
def test_each_kind_of_peer_is_an_address(peer: Any, rule: str | None) -> None:
    ingress = [{"from": [peer], "ports": [{"port": 80}]}]
    chosen = {"matchLabels": {"app": "x"}}
    one = policy(podSelector=chosen, policyTypes=["Ingress"], ingress=ingress)
    wanted = [rule, "counter drop"] if rule else ["counter drop"]
    assert chains(one)["ingress_10_0_0_1"] == wanted


def test_ports_by_name_by_range_and_left_out() -> None:
    ports = [{"port": "http"}, {"port": 90, "endPort": 99}, {"protocol": "UDP"}]
    egress = [{"to": [{"podSelector": {"matchLabels": {"app": "y"}}}], "ports": ports}, {}]
    one = policy(podSelector={"matchLabels": {"app": "x"}}, egress=egress)
    assert chains(one)["egress_10_0_0_1"] == [
        "ip daddr { 10.0.0.2 } tcp dport 8080 return",
        "ip daddr { 10.0.0.2 } tcp dport 90-99 return",
        "ip daddr { 10.0.0.2 } meta l4proto udp return",
        "return",
        "counter drop",
    ]
    # Without policyTypes, a policy with egress rules is of both kinds.
    assert chains(one)["ingress_10_0_0_1"] == ["counter drop"]


def test_the_address_of_a_pod_that_has_ended_is_nobodys() -> None:
    everything = policy(podSelector={}, policyTypes=["Ingress"])
    ended = [pod("x", "10.0.0.1", phase="Succeeded"), pod("y", "10.0.0.2")]
    assert set(chains(everything, pods=ended)) == {"ingress_10_0_0_2"}


# --- on the node ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def target(node: Node, place: Place) -> Iterator[ClusterTarget]:
    """A small server in the database's place, and its labels."""
    small.add_image(place)
    software.add_mcp_server(place)
    with small.target(node, NAMESPACE) as target:
        small.ensure(target)
        yield target


def seen(tried: network.Matrix) -> dict[tuple[str, str], str]:
    return {(one.source, one.destination): one.seen for one in tried if one.port in (0, 8080, 8888)}


def left(node: Node) -> str:
    """Probes, and namespaces of probes that are not going."""
    mine = f"-l={probes.PROBE}"
    pods = kubectl(node.kubeconfig, "get", "pods", "-n", NAMESPACE, mine, "-o", "name").stdout
    words = ("get", "namespaces", mine, "--field-selector=status.phase=Active", "-o", "name")
    return pods + kubectl(node.kubeconfig, *words).stdout


def test_without_policies_every_way_is_open_and_the_table_says_that_this_is_not_declared(
    target: ClusterTarget, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "SETTLED", 3.0)
    tried = target.network.tried(stage=Stages("try"))
    assert set(seen(tried).values()) == {"open"}
    assert {one.source for one in tried} == {peer.name for peer in ALL.peers}
    wrong = [one for one in tried if not one.agrees]
    assert len(wrong) == len(tried) - len(ALL.peers), "all but DNS"
    assert "yes!" in repr(tried)
    assert left(node) == ""


def test_policies_close_the_namespace_both_ways_and_open_what_they_name(
    target: ClusterTarget, node: Node
) -> None:
    names = target.network.isolate({}, stage=Stages("isolate"))
    assert "workshop-default-deny" in names
    assert "workshop-router" not in names, "nothing has a Route here"
    # The small server listens on another port than a database, so one policy more opens it.
    more = policy(
        podSelector={"matchLabels": {"app": "mongodb"}},
        policyTypes=["Ingress"],
        ingress=[{"from": [{"podSelector": {}}], "ports": [{"port": 8080}]}],
    )
    more |= {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    more["metadata"] = {"name": "more"}
    out = copy.deepcopy(more)
    out["metadata"] = {"name": "out"}
    out["spec"] = {
        "podSelector": {"matchLabels": {"app": "embedder"}},
        "policyTypes": ["Egress"],
        "egress": [{"to": [{"podSelector": {}}], "ports": [{"port": 8080}]}],
    }
    apply(node.kubeconfig, more, out, namespace=NAMESPACE)
    patient = pytest.MonkeyPatch()
    patient.setattr(probes, "SETTLED", 12.0)
    try:
        tried = seen(target.network.tried(stage=Stages("try")))
    finally:
        patient.undo()
    opened = {way for way, word in tried.items() if word == "open" and way[1] != "DNS"}
    assert opened == {("embedder", "mongodb")}, "a way wants both of its ends"
    assert {word for way, word in tried.items() if way[1] == "DNS"} == {"open"}
    assert left(node) == ""


def test_a_policy_that_goes_opens_what_it_closed(target: ClusterTarget, node: Node) -> None:
    removed = target.clean_up(data=False)
    assert "NetworkPolicy workshop-default-deny" in removed
    words = ("get", "networkpolicies", "-n", NAMESPACE, "-o", "name")
    assert sorted(kubectl(node.kubeconfig, *words).stdout.split()) == [
        "networkpolicy.networking.k8s.io/more",
        "networkpolicy.networking.k8s.io/out",
    ]
    assert target.leftovers() == []


def test_a_probe_that_cannot_run_says_why_and_leaves_nothing(
    target: ClusterTarget, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.ensure(target)
    monkeypatch.setattr("workshop.targets.cluster.network.probes.IMAGE", "registry.test/nothing:1")
    with pytest.raises(PartFailed) as failed:
        target.network.tried(stage=Stages("try"))
    assert "The probe workshop-end-notebook cannot pull its image." in str(failed.value)
    assert left(node) == ""


def test_an_endpoint_of_the_users_own_stays_reachable(target: ClusterTarget) -> None:
    from workshop.targets.base import Endpoint

    inside = Endpoint("http://model.shared.svc.cluster.local:8080")
    outside = Endpoint("https://model.example.com")
    (asking,) = (peer for peer in ALL.peers if peer.name == "llama-stack")
    made = cluster_network.reaching({"model": inside, "other": outside}, asking)
    rules = made["spec"]["egress"]
    name = {"kubernetes.io/metadata.name": "shared"}
    assert rules[0]["to"][0]["namespaceSelector"]["matchLabels"] == name
    assert rules[1] == {"ports": [{"protocol": "TCP", "port": 443}]}
    assert json.dumps(made["spec"]["podSelector"]).count("ogx") == 1
    target.api.apply(made, dry_run=True)
