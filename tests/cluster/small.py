"""A part of a few lines for tests of the cluster target: one small web server, however it is bent.

Its planner is the test's; all that brings it up is the kit's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from testcluster import images
from testcluster.kubectl import apply, kubectl
from testcluster.node import Node
from testcluster.place import Place
from workshop.clients import http
from workshop.core.errors import EndpointError
from workshop.core.progress import Stages
from workshop.core.wait import NotYet
from workshop.parts.catalog import ALL
from workshop.targets.base import Deployed, Endpoint, Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.login import connect
from workshop.targets.cluster.manifests import Plan
from workshop.targets.cluster.target import ClusterTarget

IMAGE = "registry.test/small:1"
NAME = "mongodb"
"""The part whose place it takes: a target knows its parts by name."""

SERVER_GO = """package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	if code := os.Getenv("END_WITH"); code != "" {
		fmt.Println("the disk is on fire")
		number, _ := strconv.Atoi(code)
		os.Exit(number)
	}
	if os.Getenv("EAT") != "" {
		fmt.Println("eating")
		var kept [][]byte
		for {
			piece := make([]byte, 8<<20)
			for i := range piece {
				piece[i] = 1
			}
			kept = append(kept, piece)
		}
	}
	if path := os.Getenv("WRITE_TO"); path != "" {
		if err := os.MkdirAll(path, 0o700); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	if seconds, _ := strconv.Atoi(os.Getenv("LOAD_FOR")); seconds > 0 {
		fmt.Println("loading")
		time.Sleep(time.Duration(seconds) * time.Second)
	}
	if seconds, _ := strconv.Atoi(os.Getenv("END_AFTER")); seconds > 0 {
		time.AfterFunc(time.Duration(seconds)*time.Second, func() {
			fmt.Println("the disk is full")
			os.Exit(8)
		})
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "{\\"said\\": %q, \\"path\\": %q}", os.Getenv("SAY"), r.URL.Path)
	})
	fmt.Println("serving")
	http.ListenAndServe(":8080", nil)
}
"""

Bend = Callable[[list[Object]], object]


def add_image(place: Place) -> None:
    """Give the node the small server."""
    binary = images.compiled(place.go, "small", SERVER_GO)
    images.add(place, IMAGE, {"/small": binary}, entrypoint=("/small",))


def built(part: Part) -> list[Object]:
    """A Deployment and its Service, as restricted as the kit's own."""
    labels = objects.labels(part.name) | {"app": NAME}
    container = {
        "name": "small",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "SAY", "value": str(part.settings.get("say", "hello"))}],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "resources": {
            "requests": {"cpu": "10m", "memory": "16Mi"},
            "limits": {"cpu": "500m", "memory": "64Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    pod = {
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    meta = {"name": NAME, "labels": labels}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": {"app": NAME}},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": {"app": NAME}, "ports": [{"name": "http", "port": 8080}]},
        },
    ]


def planner(bend: Bend = lambda _: None, **more: Any) -> Callable[[Part, Api], Plan]:
    """The small server, changed by ``bend`` before it is applied."""

    def plan(part: Part, _api: Api) -> Plan:
        made = built(part)
        bend(made)
        digest = objects.digest(made)
        for one in made:
            if one["kind"] in ("Deployment", "Job"):
                objects.mark(one, digest)
        fields = {"deployment": NAME, "pods": {"app": NAME}, "service": NAME, "port": 8080, **more}
        return Plan(made, digest, **fields)

    return plan


def setting(name: str, value: str) -> Bend:
    """Set a variable of the server."""
    return lambda made: objects.set_variables(objects.container(made[0])["env"], {name: value})


@contextmanager
def target(
    node: Node, namespace: str, bend: Bend = lambda _: None, api: Api | None = None, **more: Any
) -> Iterator[ClusterTarget]:
    """A cluster target whose one part is the small server, in a namespace of its own."""
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    meta = {"name": namespace, "labels": level}
    apply(node.kubeconfig, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    api = api or connect({"KUBECONFIG": str(node.kubeconfig), "WORKSHOP_NAMESPACE": namespace})
    yield ClusterTarget(api, ALL, {NAME: planner(bend, **more)})


def fill_quota(node: Node, namespace: str, name: str) -> None:
    """A quota in which no pod has room, once it refuses."""
    meta, spec = {"name": name}, {"hard": {"requests.memory": "1Mi"}}
    thing = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": spec}
    apply(node.kubeconfig, thing, namespace=namespace)
    # Until it was counted once, it refuses nothing.
    until = ("-n", namespace, "wait", f"resourcequota/{name}", "--timeout=30s")
    kubectl(node.kubeconfig, *until, "--for=jsonpath={.status.hard.requests\\.memory}=1Mi")


def ready(endpoint: Endpoint) -> object:
    """The probe of the small server."""
    try:
        return http.call(endpoint, "/", timeout=5).json["said"]
    except EndpointError as error:
        return NotYet(error.state or error.what)


def ensure(target: ClusterTarget, *, timeout: float = 60.0, **settings: Any) -> Deployed:
    """Bring it up."""
    part = Part(NAME, 8080, settings=settings)
    return target.ensure(part, ready=ready, timeout=timeout, stage=Stages("small"))
