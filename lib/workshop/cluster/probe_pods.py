"""The pods that try the network: what a probe is made of.

It is never Ready, so that no Service sends it anything, and is owned by the kit's ConfigMap, so
that no controller adopts it. What it runs on, the MCP server's image has: Node.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workshop import network, pins
from workshop.cluster import objects
from workshop.cluster.cleaning import NETWORK
from workshop.cluster.transport import Object
from workshop.cluster.trouble import PROBE

IMAGE = f"docker.io/mongodb/mongodb-mcp-server:{pins.MCP_SERVER}"
SCRIPT = Path(__file__).with_name("probe.js")
USER = 65532
"""Of pods on clusters that give them none, as in ``manifests/components/kubernetes-user``."""

PATIENCE = 2.0
"""Seconds for one connection: what a policy refuses is silence, on most networks."""

LIFE = 300
"""Seconds after which a probe ends by itself, whatever became of the kit."""


@dataclass(frozen=True)
class Probe:
    """One pod. ``who`` is a peer's name; ``namespace`` "" is the kit's own."""

    who: str
    name: str
    labels: Mapping[str, str] = field(compare=False)
    namespace: str = ""


def pod_of(
    probe: Probe, destinations: list[dict[str, Any]], *, fixes_user: bool, owner: Object | None
) -> Object:
    """The pod of a probe.

    Args:
        probe: Whose labels it carries, and where.
        destinations: What it tries: each has a ``host`` and a ``port``, or a ``name`` to look up.
        fixes_user: Whether it must be told its user.
        owner: The kit's ConfigMap, in the kit's own namespace.
    """
    told = {
        "destinations": destinations,
        "listen": network.PLAYED,
        "seconds": LIFE,
        "patience": PATIENCE,
    }
    security: dict[str, Any] = {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if fixes_user:
        security["runAsUser"] = USER
    meta: Object = {
        "name": probe.name,
        "labels": objects.labels(NETWORK) | {PROBE: "true"} | dict(probe.labels),
    }
    if probe.namespace:
        meta["namespace"] = probe.namespace
    elif owner is not None:
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "controller": True}
        own = {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        meta["ownerReferences"] = [reference | own]
    container = {
        "name": "probe",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["node", "-e", SCRIPT.read_text(encoding="utf-8")],
        "env": [{"name": "PROBE", "value": json.dumps(told)}],
        "ports": [{"containerPort": network.PLAYED}],
        # Nothing will ever listen there: a probe is never Ready, and no Service leads to it.
        "readinessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 3600},
        "resources": {
            "requests": {"cpu": "10m", "memory": "48Mi"},
            "limits": {"cpu": "500m", "memory": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFE,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": security,
            "containers": [container],
        },
    }
