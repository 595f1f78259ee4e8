"""What notebook 08 tried in a run, held against cyclonus's analysis of the policies that are there.

Read from the cluster: the kit's own, and those that an operator has made beside them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from runs import Run
from testcluster import cyclonus
from testcluster.cyclonus import End
from testcluster.kubectl import kubectl
from workshop.parts.catalog import ALL
from workshop.targets import network

STEP = "08_secure_the_network"
PAIR = re.compile(r"(.+) to (.+):(\d+)")


def tried(run: Run) -> list[network.Tried]:
    """The ways that the notebook's checkpoint lists, from the run's report."""
    (step,) = (one for one in run.report["steps"] if one["notebook"] == STEP)
    found = []
    for check in step["checks"]:
        pair = PAIR.fullmatch(check["name"])
        if pair:
            allowed, seen = check["expected"] == "open", check["seen"].partition(",")[0]
            found.append(network.Tried(pair[1], pair[2], int(pair[3]), allowed, seen))
    return found


def shown(run: Run, *what: str) -> list[dict[str, Any]]:
    words = ("-n", run.namespace, "get", *what, "-o", "json")
    items: list[dict[str, Any]] = json.loads(kubectl(run.node.kubeconfig, *words).stdout)["items"]
    return items


def assert_three_agree(run: Run, analyst: Path) -> list[network.Tried]:
    """Declared, tried and analysed agree on every pair; gives the pairs."""
    pairs = tried(run)
    assert {one.source for one in pairs} == {peer.name for peer in ALL.peers}
    policies = shown(run, "networkpolicies.networking.k8s.io")
    ends = _ends(run)
    ways = [(ends[one.source], ends[one.destination], one.port) for one in pairs]
    verdicts = cyclonus.allowed(analyst, policies, ways)
    wrong = [
        (one.name, one.allowed, one.seen, verdict)
        for one, verdict in zip(pairs, verdicts, strict=True)
        if not (one.allowed == (one.seen == "open") == verdict)
    ]
    assert wrong == [], "name, declared, tried, analysed"
    assert sum(one.allowed for one in pairs) >= 12
    assert sum(not one.allowed for one in pairs) >= 60
    return pairs


def _ends(run: Run) -> dict[str, End]:
    """Each peer with the labels of its own pods, where it has some."""
    pods = [pod["metadata"].get("labels") or {} for pod in shown(run, "pods")]
    own = {"kubernetes.io/metadata.name": run.namespace}
    found = {}
    for peer in ALL.peers:
        for labels in peer.namespaces:
            where = {"kubernetes.io/metadata.name": f"{run.namespace}-other", **labels}
            found.setdefault(peer.name, End({}, f"{run.namespace}-other", where))
        for labels in peer.labels:
            real = [pod for pod in pods if labels.items() <= pod.items()]
            if real or peer.name not in found:
                found[peer.name] = End(real[0] if real else labels, run.namespace, own)
    return found
