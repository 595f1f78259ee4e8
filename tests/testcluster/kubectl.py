"""kubectl as the test cluster's administrator."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Literal

from workshop.core.wait import NotYet, wait_for
from workshop.targets.cluster import objects

UID = 1000650000
"""A user as OpenShift's restricted-v2 gives one to a namespace; manifests name none."""


def kubectl(
    kubeconfig: Path, *words: str, check: bool = True, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run it; it never waits for ever on a port that nobody serves."""
    done = subprocess.run(
        [objects.kubectl(), f"--kubeconfig={kubeconfig}", "--request-timeout=20s", *words],
        capture_output=True,
        text=True,
        check=False,
        **more,
    )
    if check and done.returncode:
        raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
    return done


def apply(kubeconfig: Path, *objects: dict[str, Any], namespace: str = "") -> None:
    """Apply these objects, in this namespace or, without one, in those that they name."""
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    where = ("--namespace", namespace) if namespace else ()
    kubectl(kubeconfig, *where, "apply", "-f", "-", input=items)


def restricted_namespace(kubeconfig: Path, name: str) -> None:
    """Make a namespace that takes restricted pods alone; it goes with the node."""
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    meta = {"name": name, "labels": level}
    apply(kubeconfig, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})


def wait_for_crds(kubeconfig: Path, timeout: float = 60) -> None:
    """Wait until the API server serves every CRD that it was given; timeout in seconds.

    `kubectl wait --for=condition=Established` fails on a CRD of this moment: its conditions are
    null until a controller has looked at it, and kubectl reads them as a list.

    Raises:
        PartTooSlow: Some were not served in time; names them.
    """

    def served() -> Literal[True] | NotYet:
        found = json.loads(kubectl(kubeconfig, "get", "crd", "-o", "json").stdout)["items"]
        missing = [crd["metadata"]["name"] for crd in found if not _established(crd)]
        return NotYet(f"not served yet: {', '.join(missing)}") if missing else True

    wait_for("the API server to serve the CRDs", served, timeout=timeout, every=0.2)


def _established(crd: dict[str, Any]) -> bool:
    return any(
        condition["type"] == "Established" and condition["status"] == "True"
        for condition in crd.get("status", {}).get("conditions") or ()
    )
