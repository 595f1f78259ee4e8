"""The kinds of a cloud's machines, of OLM and of what it installs.

Those of machine-api are OpenShift's own definitions. Those of OLM and of the two operators are open
ones with the same names: only their statuses matter to the tests.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from workshop.core.wait import NotYet, wait_for
from workshop.targets.cluster.api import Api

MODULE = "github.com/openshift/api@v0.0.0-20250725072657-92b1455121e1"

Object = dict[str, Any]

OLM = {
    "subscriptions": ("operators.coreos.com", "v1alpha1", "Subscription", "Namespaced"),
    "clusterserviceversions": (
        *("operators.coreos.com", "v1alpha1", "ClusterServiceVersion"),
        "Namespaced",
    ),
    "operatorgroups": ("operators.coreos.com", "v1", "OperatorGroup", "Namespaced"),
}
AUTOSCALING = {
    "machineautoscalers": (
        *("autoscaling.openshift.io", "v1beta1", "MachineAutoscaler"),
        "Namespaced",
    ),
    "clusterautoscalers": ("autoscaling.openshift.io", "v1", "ClusterAutoscaler", "Cluster"),
}
BROUGHT = {
    "nfd": ("nodefeaturediscoveries", "nfd.openshift.io", "v1", "NodeFeatureDiscovery"),
    "gpu-operator-certified": ("clusterpolicies", "nvidia.com", "v1", "ClusterPolicy"),
}


def machine_api_crds() -> list[Object]:
    """OpenShift's definitions of MachineSet and Machine, from its Go module."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", MODULE], capture_output=True, text=True, check=True
    )
    folder = Path(json.loads(done.stdout)["Dir"]) / "machine/v1beta1/zz_generated.crd-manifests"
    found = []
    for name in ("machinesets", "machines"):
        (path,) = folder.glob(f"*_{name}-Default.crd.yaml")
        found.append(yaml.safe_load(path.read_text(encoding="utf-8")))
    return found


def open_crd(plural: str, group: str, version: str, kind: str, scope: str) -> Object:
    """A definition that takes anything, with a status of its own."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {
                "plural": plural,
                "singular": kind.lower(),
                "kind": kind,
                "listKind": f"{kind}List",
            },
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": anything, "status": anything},
                        }
                    },
                }
            ],
        },
    }


def established(api: Api, crds: list[Object], until: Callable[[], bool]) -> None:
    """Apply these definitions, and wait until the API server serves their kinds."""
    for crd in crds:
        api.apply(crd)

    def served() -> object:
        api.discover()
        return until() or NotYet("not all kinds are served")

    wait_for("the kinds to be served", served, timeout=30, every=0.1)
