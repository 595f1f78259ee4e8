"""Which ways policies close, by reading them; the test cluster shows the same by enforcing them."""

from __future__ import annotations

from typing import Any

import pytest
from workshop.parts.catalog import ALL
from workshop.targets.cluster import endpoints, pod_status
from workshop.targets.cluster.network import policies as network_policies


def pod(address: str = "10.0.0.1", **labels: str) -> dict[str, Any]:
    port = {"name": "api", "containerPort": 8080}
    return {
        "metadata": {"name": "p", "labels": labels},
        "spec": {"containers": [{"ports": [port]}]},
        "status": {"podIP": address},
    }


def policy(direction: str, *rules: dict[str, Any], **labels: str) -> dict[str, Any]:
    word = "egress" if direction == "Egress" else "ingress"
    selector = {"matchLabels": labels} if labels else {}
    spec = {"podSelector": selector, "policyTypes": [direction], word: list(rules)}
    return {"metadata": {"name": f"{direction.lower()}-{'-'.join(labels.values())}"}, "spec": spec}


STACK, MODEL = pod(app="llama-stack"), pod("10.0.0.2", app="model-predictor")
SPACE = {"kubernetes.io/metadata.name": "here"}
TO_MODEL = {"to": [{"podSelector": {"matchLabels": {"app": "model-predictor"}}}]}
DENY = policy("Egress")


def is_open(*policies: dict[str, Any], port: int = 8080) -> bool:
    return network_policies.closed(STACK, MODEL, port, policies, SPACE, ALL.peers) is None


def test_without_a_policy_all_is_open() -> None:
    assert is_open()
    # One that selects others, or the other direction's, closes nothing.
    assert is_open(policy("Egress", app="mongodb"), policy("Ingress", app="llama-stack"))


def test_a_selected_pod_is_closed_but_for_what_any_policy_allows() -> None:
    assert not is_open(DENY)
    assert is_open(DENY, policy("Egress", TO_MODEL, app="llama-stack"))
    assert not is_open(DENY, policy("Egress", TO_MODEL, app="ogx"))
    # Both directions must be open.
    assert not is_open(policy("Ingress"), policy("Egress", TO_MODEL))
    assert is_open(policy("Ingress", {}), policy("Egress", TO_MODEL))


@pytest.mark.parametrize(
    ("ports", "opens"),
    [
        ([{"port": 8080}], True),
        ([{"port": 8081}], False),
        ([{"port": 8000, "endPort": 8100}], True),
        ([{"port": "api"}], True),
        ([{"port": "metrics"}], False),
        ([{"port": 8080, "protocol": "UDP"}], False),
        ([{"protocol": "TCP"}], True),
    ],
)
def test_a_rule_is_held_against_the_port_of_the_one_who_is_asked(
    ports: list[dict[str, Any]], opens: bool
) -> None:
    assert is_open(policy("Egress", {"ports": ports})) is opens


@pytest.mark.parametrize(
    ("peer", "opens"),
    [
        ({"ipBlock": {"cidr": "10.0.0.0/8"}}, True),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.2/32"]}}, False),
        ({"ipBlock": {"cidr": "192.168.0.0/16"}}, False),
        ({"namespaceSelector": {"matchLabels": SPACE}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "other"}}, "podSelector": {}}, False),
        ({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}, True),
        (
            {"podSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}},
            False,
        ),
    ],
)
def test_a_peer_is_a_block_or_pods_of_namespaces(peer: dict[str, Any], opens: bool) -> None:
    assert is_open(policy("Egress", {"to": [peer]})) is opens


def test_it_names_who_closes_and_who_would_have_opened() -> None:
    found = network_policies.closed(
        STACK, MODEL, 8080, [DENY, policy("Egress", TO_MODEL, app="ogx")], SPACE, ALL.peers
    )
    assert str(found) == (
        "egress closed by egress-; egress-ogx selects app=ogx, and the pod has app=llama-stack"
    )


def test_names_are_of_another_namespace() -> None:
    assert network_policies.without_names(STACK, []) == []
    assert network_policies.without_names(STACK, [DENY]) == ["egress-"]
    assert network_policies.without_names(STACK, [DENY, policy("Egress", TO_MODEL)]) == [
        "egress-",
        "egress-",
    ]
    dns = {"to": [{"namespaceSelector": {}}], "ports": [{"port": 53, "protocol": "UDP"}]}
    assert network_policies.without_names(STACK, [DENY, policy("Egress", dns)]) == []
    https = {"to": [{"namespaceSelector": {}}], "ports": [{"port": 443}]}
    assert network_policies.without_names(STACK, [DENY, policy("Egress", https)])
    assert network_policies.without_names(STACK, [policy("Egress", {})]) == []


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("429 Too Many Requests - Server message: toomanyrequests: You have reached", "limits"),
        ("failed to authorize: 401 Unauthorized", "wants a login"),
        ("pull access denied, repository does not exist", "wants a login"),
        ("dial tcp: lookup registry.test: no such host", "do not reach that registry"),
        ("quay.io/x:y: not found", "is the name right"),
    ],
)
def test_what_a_registry_says_of_a_pull(said: str, hint: str) -> None:
    assert hint in pod_status.pull_hint(said)


@pytest.mark.parametrize(
    ("annotation", "seconds"),
    [("", 30), ("300s", 300), ("5m", 300), ("1h", 3600), ("5000", 5), ("5000ms", 5), ("x", 30)],
)
def test_how_long_a_route_lets_an_answer_take(annotation: str, seconds: float) -> None:
    annotations = {endpoints.HAPROXY: annotation} if annotation else {}
    route = {"kind": "Route", "metadata": {"annotations": annotations}}
    assert endpoints.seconds_of(route) == seconds


def test_an_ingress_says_it_in_bare_seconds() -> None:
    ingress = {"kind": "Ingress", "metadata": {"annotations": {endpoints.NGINX: "300"}}}
    assert endpoints.seconds_of(ingress) == 300
    assert endpoints.seconds_of({"kind": "Ingress", "metadata": {}}) == 60
