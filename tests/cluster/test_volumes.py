"""Claims get volumes, and leave nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from testcluster import images
from testcluster.kubectl import apply, kubectl
from testcluster.node import Node
from testcluster.place import Place

pytestmark = pytest.mark.timeout(1800)

NAMESPACE = "volumes"
WRITER = "registry.test/writer:1"

WRITER_GO = """package main

import (
	"fmt"
	"os"
)

func main() {
	before, _ := os.ReadFile("/data/note")
	if err := os.WriteFile("/data/note", []byte("kept"), 0o600); err != nil {
		fmt.Print(err)
		os.Exit(1)
	}
	fmt.Printf("before: %s", before)
}
"""


@pytest.fixture(scope="module", autouse=True)
def namespace(node: Node, place: Place) -> None:
    binary = images.compiled(place.go, "writer", WRITER_GO)
    images.add(place, WRITER, {"/writer": binary}, entrypoint=("/writer",))
    apply(
        node.kubeconfig,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    )


def claim(name: str, storage_class: str | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    if storage_class:
        spec["storageClassName"] = storage_class
    meta = {"name": name}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def pod(name: str, claim_name: str) -> dict[str, Any]:
    mount = {"name": "data", "mountPath": "/data"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsUser": 1000650000, "runAsNonRoot": True},
            "containers": [{"name": "writer", "image": WRITER, "volumeMounts": [mount]}],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": claim_name}},
            ],
        },
    }


def until(node: Node, what: str, condition: str) -> None:
    words = ("wait", what, f"--for={condition}", "--timeout=60s")
    done = kubectl(node.kubeconfig, "-n", NAMESPACE, *words, check=False)
    told = kubectl(node.kubeconfig, "-n", NAMESPACE, "describe", what, check=False).stdout
    assert done.returncode == 0, done.stderr + told


def test_what_a_pod_writes_is_there_for_the_next_and_goes_with_the_claim(node: Node) -> None:
    """The default class binds when a pod uses the claim, and any user may write."""
    apply(node.kubeconfig, claim("data"), namespace=NAMESPACE)
    for name, before in (("first", "before: "), ("second", "before: kept")):
        apply(node.kubeconfig, pod(name, "data"), namespace=NAMESPACE)
        until(node, f"pod/{name}", "jsonpath={.status.phase}=Succeeded")
        assert kubectl(node.kubeconfig, "-n", NAMESPACE, "logs", name).stdout == before
    shown = kubectl(node.kubeconfig, "-n", NAMESPACE, "get", "pvc", "data", "-o", "json").stdout
    volume = json.loads(shown)["spec"]["volumeName"]
    shown = kubectl(node.kubeconfig, "get", "pv", volume, "-o", "json").stdout
    folder = Path(json.loads(shown)["spec"]["hostPath"]["path"])
    assert (folder / "note").read_text() == "kept"
    for what in ("pod/first", "pod/second", "pvc/data"):
        kubectl(node.kubeconfig, "-n", NAMESPACE, "delete", what, "--wait=true", "--timeout=60s")
    gone = ("wait", f"pv/{volume}", "--for=delete", "--timeout=60s")
    kubectl(node.kubeconfig, *gone)
    assert not folder.exists()


def test_a_claim_waits_for_a_pod_unless_its_class_is_immediate(node: Node) -> None:
    apply(node.kubeconfig, claim("waiting"), claim("at-once", "immediate"), namespace=NAMESPACE)
    until(node, "pvc/at-once", "jsonpath={.status.phase}=Bound")
    shown = ("get", "pvc", "waiting", "-o", "jsonpath={.status.phase}")
    assert kubectl(node.kubeconfig, "-n", NAMESPACE, *shown).stdout == "Pending"
