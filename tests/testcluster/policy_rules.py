"""NetworkPolicies as rules of nftables, by the addresses that pods have now.

Pure functions of what the cluster holds. Semantics: the reference of networking.k8s.io/v1. A pod
that a policy selects in a direction is closed in it, but for what any such policy allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]

TABLE = "workshop_policies"
DIRECTIONS = ("Egress", "Ingress")


def matches(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects these labels; an empty one selects all."""
    for key, value in ((selector or {}).get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for one in (selector or {}).get("matchExpressions") or []:
        has, values = labels.get(one["key"]), one.get("values") or []
        held = {
            "In": has in values,
            "NotIn": has not in values,
            "Exists": has is not None,
            "DoesNotExist": has is None,
        }
        if not held[one["operator"]]:
            return False
    return True


def ruleset(
    policies: Iterable[Object], pods: Iterable[Object], namespaces: Iterable[Object]
) -> str:
    """The whole table, in place of the one before; ``nft -f -`` takes it in one step."""
    policies = list(policies)
    labels = {one["metadata"]["name"]: _labels(one) for one in namespaces}
    living = [pod for pod in pods if _has_address(pod)]
    chains: list[str] = []
    jumps: dict[str, list[str]] = {direction: [] for direction in DIRECTIONS}
    own = []
    for pod in sorted(living, key=_address):
        for direction in DIRECTIONS:
            chosen = [one for one in policies if _selects(one, pod, direction)]
            if not chosen:
                continue
            address = _address(pod)
            name = f"{direction.lower()}_{address.replace('.', '_')}"
            rules = [rule for one in chosen for rule in _rules(one, pod, direction, living, labels)]
            lines = "".join(f"    {rule} return\n" for rule in dict.fromkeys(rules))
            chains.append(f"  chain {name} {{\n{lines}    counter drop\n  }}\n")
            jumps[direction].append(f"{address} : jump {name}")
            own.append(f"    ip saddr {address} ip daddr {address} accept\n")
    leaving = _jump("saddr", jumps["Egress"])
    entering = _jump("daddr", jumps["Ingress"])
    known = "    ct state established,related accept\n"
    hook = "    type filter hook {} priority filter; policy accept;\n"
    return (
        f"table inet {TABLE} {{}}\n"
        f"delete table inet {TABLE}\n"
        f"table inet {TABLE} {{\n"
        + "".join(chains)
        + f"  chain forward {{\n{hook.format('forward')}{known}"
        + "".join(dict.fromkeys(own))
        + f"{leaving}{entering}  }}\n"
        # To the node itself, where the API server and the router are.
        + f"  chain input {{\n{hook.format('input')}{known}{leaving}  }}\n"
        + "}\n"
    )


def _jump(field: str, jumps: Sequence[str]) -> str:
    return f"    ip {field} vmap {{ {', '.join(jumps)} }}\n" if jumps else ""


def _selects(policy: Object, pod: Object, direction: str) -> bool:
    if policy["metadata"]["namespace"] != pod["metadata"]["namespace"]:
        return False
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    return direction in types and matches(spec.get("podSelector"), _labels(pod))


def _rules(
    policy: Object,
    pod: Object,
    direction: str,
    pods: Sequence[Object],
    namespaces: Mapping[str, Mapping[str, str]],
) -> Iterable[str]:
    """What one policy allows a pod in a direction, without the verdict."""
    word, side = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    field = "daddr" if direction == "Egress" else "saddr"
    for rule in policy["spec"].get(word) or []:
        peers = list(_peers(rule.get(side), policy, pods, namespaces))
        for where, of_peers in peers:
            for port in _ports(rule.get("ports"), of_peers if direction == "Egress" else [pod]):
                yield " ".join(filter(None, [where.format(field=field), port]))


def _peers(
    given: Sequence[Object] | None,
    policy: Object,
    pods: Sequence[Object],
    namespaces: Mapping[str, Mapping[str, str]],
) -> Iterable[tuple[str, list[Object]]]:
    """Each peer as an expression of nftables, and the pods behind it."""
    if not given:
        yield "", list(pods)
    for peer in given or []:
        block = peer.get("ipBlock")
        if block:
            cut = ", ".join(block.get("except") or [])
            other = f" ip {{field}} != {{{{ {cut} }}}}" if cut else ""
            yield f"ip {{field}} {block['cidr']}{other}", []
            continue
        own = policy["metadata"]["namespace"]
        found = [
            pod
            for pod in pods
            if matches(peer.get("podSelector"), _labels(pod))
            and (
                matches(peer["namespaceSelector"], namespaces.get(_namespace(pod), {}))
                if "namespaceSelector" in peer
                else _namespace(pod) == own
            )
        ]
        if found:
            addresses = ", ".join(sorted(map(_address, found)))
            yield f"ip {{field}} {{{{ {addresses} }}}}", found


def _ports(given: Sequence[Object] | None, pods: Sequence[Object]) -> Iterable[str]:
    if not given:
        yield ""
    for one in given or []:
        protocol = str(one.get("protocol", "TCP")).lower()
        port = one.get("port")
        if port is None:
            yield f"meta l4proto {protocol}"
        elif isinstance(port, int):
            last = one.get("endPort")
            yield f"{protocol} dport {port}-{last}" if last else f"{protocol} dport {port}"
        else:
            for number in sorted(_named(port, protocol, pods)):
                yield f"{protocol} dport {number}"


def _named(name: str, protocol: str, pods: Sequence[Object]) -> set[int]:
    return {
        int(port["containerPort"])
        for pod in pods
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or []
        if port.get("name") == name and str(port.get("protocol", "TCP")).lower() == protocol
    }


def _has_address(pod: Object) -> bool:
    """Whether it has one of its own. A pod that has ended may have left its to another."""
    status = pod.get("status") or {}
    ended = status.get("phase") in ("Succeeded", "Failed")
    return bool(status.get("podIP")) and not ended and not pod["spec"].get("hostNetwork")


def _address(pod: Object) -> str:
    return str(pod["status"]["podIP"])


def _namespace(pod: Object) -> str:
    return str(pod["metadata"]["namespace"])


def _labels(thing: Object) -> Mapping[str, str]:
    return thing["metadata"].get("labels") or {}
