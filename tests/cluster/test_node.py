"""The test cluster itself: pods run restricted, and find each other by name."""

from __future__ import annotations

from typing import Any

import pytest
from testcluster import images
from testcluster.kubectl import UID, apply, kubectl, restricted_namespace
from testcluster.node import Node
from testcluster.place import Place

pytestmark = pytest.mark.timeout(1800)

PROBE = "registry.test/probe:1"

PROBE_GO = """package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	if os.Args[1] == "serve" {
		http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "uid %d", os.Getuid())
		})
		fmt.Println(http.ListenAndServe(":8080", nil))
		os.Exit(1)
	}
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(os.Args[2])
	// A Service leads to its pod some time after the pod is ready.
	for until := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(until); {
		time.Sleep(100 * time.Millisecond)
		answer, err = client.Get(os.Args[2])
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	text, _ := io.ReadAll(answer.Body)
	fmt.Printf("%d %s", answer.StatusCode, text)
}
"""


def pod(name: str, *arguments: str, restricted: bool = True) -> dict[str, Any]:
    """A pod of the probe."""
    container: dict[str, Any] = {"name": "probe", "image": PROBE, "args": list(arguments)}
    spec: dict[str, Any] = {"restartPolicy": "Never", "containers": [container]}
    if restricted:
        spec["securityContext"] = {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        container["securityContext"] = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def namespace(node: Node, place: Place) -> str:
    """A namespace that takes restricted pods alone; it goes with the node."""
    binary = images.compiled(place.go, "probe", PROBE_GO)
    images.add(place, PROBE, {"/probe": binary}, entrypoint=("/probe",))
    restricted_namespace(node.kubeconfig, "probe")
    return "probe"


def logs_when_done(node: Node, namespace: str, name: str) -> str:
    """What a pod wrote, once it has succeeded."""
    until = ("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    done = kubectl(node.kubeconfig, "-n", namespace, *until, check=False)
    told = kubectl(node.kubeconfig, "-n", namespace, "logs", name, check=False).stdout
    assert done.returncode == 0, told or done.stderr
    return told


def test_a_restricted_pod_serves_and_another_finds_it_by_name(node: Node, namespace: str) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    apply(node.kubeconfig, pod("server", "serve"), service, namespace=namespace)
    ready = ("wait", "pod/server", "--for=condition=Ready", "--timeout=60s")
    kubectl(node.kubeconfig, "-n", namespace, *ready)
    apply(
        node.kubeconfig,
        pod("caller", "get", "http://web.probe.svc.cluster.local/"),
        namespace=namespace,
    )
    assert logs_when_done(node, namespace, "caller") == f"200 uid {UID}"


def test_a_pod_that_is_not_restricted_is_refused(node: Node, namespace: str) -> None:
    with pytest.raises(RuntimeError, match="violates PodSecurity"):
        apply(node.kubeconfig, pod("free", "serve", restricted=False), namespace=namespace)


def test_an_image_that_nobody_gave_the_node_cannot_be_pulled(node: Node, namespace: str) -> None:
    missing = pod("missing", "serve")
    missing["spec"]["containers"][0]["image"] = "registry.test/missing:1"
    apply(node.kubeconfig, missing, namespace=namespace)
    reason = "{.status.containerStatuses[0].state.waiting.reason}"
    until = ("wait", "pod/missing", f"--for=jsonpath={reason}=ErrImagePull", "--timeout=60s")
    kubectl(node.kubeconfig, "-n", namespace, *until)
