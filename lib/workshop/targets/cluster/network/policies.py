"""Which ways the NetworkPolicies of a namespace close, by reading them: nothing is tried.

The semantics are those of the reference of networking.k8s.io/v1: a pod that a policy selects in a
direction is closed in it, but for what any such policy allows. Notebook 08 tries what this reads.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from workshop.targets.cluster.api import Object
from workshop.targets.cluster.objects import labels_of
from workshop.targets.network import Peer

Labels = Mapping[str, str]

DNS = (53, 5353, "dns", "dns-tcp")
"""The port of Kubernetes' DNS, that of OpenShift's pods, and the names that both give them."""


class Closed(NamedTuple):
    """Why a way is closed: by which policies, and which of another label would have opened it."""

    direction: str
    policies: list[str]
    idle: list[str]

    def __str__(self) -> str:
        closed = f"{self.direction.lower()} closed by {', '.join(self.policies)}"
        return "; ".join([closed, *self.idle])


def closed(
    source: Object,
    destination: Object,
    port: int,
    policies: Sequence[Object],
    namespace: Labels,
    peers: Sequence[Peer],
) -> Closed | None:
    """What closes the way from one pod to another on its port, or None when it is open.

    Policies for another generation of the pod's labels are known by those of ``peers``.
    """
    for direction, chosen, peer in (
        ("Egress", source, destination),
        ("Ingress", destination, source),
    ):
        closing = [one for one in policies if _selects(one, chosen, direction)]
        if closing and not any(
            _allows(one, direction, peer, destination, port, namespace) for one in closing
        ):
            return Closed(direction, _names(closing), _idle(policies, chosen, direction, peers))
    return None


def _names(policies: Sequence[Object]) -> list[str]:
    return sorted(str(one["metadata"]["name"]) for one in policies)


def without_names(pod: Object, policies: Sequence[Object]) -> list[str]:
    """The policies that keep a pod from looking up names, or none when it may.

    DNS is in another namespace, so a rule for the pods of this one does not open it.
    """
    closing = [one for one in policies if _selects(one, pod, "Egress")]
    rules = [rule for one in closing for rule in one["spec"].get("egress") or []]
    return [] if any(map(_opens_dns, rules)) else _names(closing)


def matches(selector: Object | None, labels: Labels) -> bool:
    """Whether a label selector selects these labels; an empty one selects all."""
    wanted = (selector or {}).get("matchLabels") or {}
    return wanted.items() <= labels.items() and all(
        _holds(one, labels) for one in (selector or {}).get("matchExpressions") or []
    )


def _holds(expression: Object, labels: Labels) -> bool:
    has, values = labels.get(expression["key"]), expression.get("values") or []
    held = {
        "In": has in values,
        "NotIn": has not in values,
        "Exists": has is not None,
        "DoesNotExist": has is None,
    }
    return held.get(expression["operator"], False)


def part_of(labels: Labels, peers: Sequence[Peer]) -> str:
    """The part whose labels, of any generation, a pod has; or ""."""
    named = ((peer.name, one) for peer in peers for one in peer.labels)
    return next((name for name, one in named if one.items() <= labels.items()), "")


def _idle(
    policies: Sequence[Object], pod: Object, direction: str, peers: Sequence[Peer]
) -> list[str]:
    """Policies for the same part in another generation's labels: they select nobody."""
    mine = labels_of(pod)
    part, found = part_of(mine, peers), []
    for one in policies:
        wanted = ((one["spec"].get("podSelector") or {}).get("matchLabels")) or {}
        if wanted and part_of(wanted, peers) == part and not _selects(one, pod, direction):
            said = ", ".join(f"{key}={value}" for key, value in wanted.items())
            have = ", ".join(f"{key}={mine.get(key, '(none)')}" for key in wanted)
            found.append(f"{one['metadata']['name']} selects {said}, and the pod has {have}")
    return found


def _selects(policy: Object, pod: Object, direction: str) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    return direction in types and matches(spec.get("podSelector"), labels_of(pod))


def _allows(
    policy: Object, direction: str, peer: Object, destination: Object, port: int, namespace: Labels
) -> bool:
    side = "to" if direction == "Egress" else "from"
    return any(
        _has_port(rule.get("ports"), destination, port)
        and (not rule.get(side) or any(_is_peer(one, peer, namespace) for one in rule[side]))
        for rule in policy["spec"].get(direction.lower()) or []
    )


def _opens_dns(rule: Object) -> bool:
    ports = rule.get("ports") or []
    asked = not ports or any(one.get("port", DNS[0]) in DNS for one in ports)
    peers = rule.get("to") or []
    return asked and (not peers or any({"namespaceSelector", "ipBlock"} & set(p) for p in peers))


def _is_peer(peer: Object, pod: Object, namespace: Labels) -> bool:
    block, address = peer.get("ipBlock"), str((pod.get("status") or {}).get("podIP") or "")
    if block:
        excepted = any(address and _within(address, one) for one in block.get("except") or [])
        return bool(address) and _within(address, block["cidr"]) and not excepted
    here = "namespaceSelector" not in peer or matches(peer["namespaceSelector"], namespace)
    return here and matches(peer.get("podSelector"), labels_of(pod))


def _within(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network)


def _has_port(ports: Sequence[Object] | None, destination: Object, wanted: int) -> bool:
    return not ports or any(
        one.get("port") is None or wanted in _numbers(one["port"], one.get("endPort"), destination)
        for one in ports
        if one.get("protocol", "TCP") == "TCP"
    )


def _numbers(port: int | str, last: int | None, destination: Object) -> Sequence[int]:
    if isinstance(port, int):
        return range(port, (last or port) + 1)
    return [
        int(one["containerPort"])
        for container in destination["spec"]["containers"]
        for one in container.get("ports") or []
        if one.get("name") == port
    ]
