"""What the tests of the OpenShift profile share: a server that says how it was started."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from testcluster import images
from testcluster.kubectl import apply, kubectl
from testcluster.node import Node
from testcluster.openshift import names
from testcluster.place import Place
from workshop.core.wait import NotYet, wait_for

MODEL = "registry.test/model:1"

SERVER_GO = """package main

import (
	"encoding/json"
	"net/http"
	"os"
	"time"
)

func answer(w http.ResponseWriter, what any) {
	w.Header().Set("content-type", "application/json")
	json.NewEncoder(w).Encode(what)
}

func main() {
	port := "8080"
	for _, name := range []string{"LLS_PORT", "OGX_PORT"} {
		if os.Getenv(name) != "" {
			port = os.Getenv(name)
		}
	}
	http.HandleFunc("/v1/health", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]string{"status": "OK"})
	})
	http.HandleFunc("/v1/version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]string{"version": "0.0.1"})
	})
	http.HandleFunc("/v1/providers", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"data": []any{map[string]any{"api": "inference",
			"provider_id": "vllm", "provider_type": "remote::vllm"}}})
	})
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		seconds, _ := time.ParseDuration(r.URL.Query().Get("for"))
		time.Sleep(seconds)
		answer(w, "done")
	})
	http.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		content, err := os.ReadFile(r.URL.Query().Get("file"))
		if err != nil {
			http.Error(w, err.Error(), 404)
			return
		}
		w.Write(content)
	})
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		err := os.WriteFile(os.Getenv("HF_HOME")+"/note", []byte("x"), 0o600)
		answer(w, map[string]any{"uid": os.Getuid(), "env": os.Environ(), "wrote": err == nil})
	})
	if err := http.ListenAndServe(":"+port, nil); err != nil {
		panic(err)
	}
}
"""


def add_servers(place: Place) -> None:
    """Give the node the server, under the names of all that it stands for."""
    binary = images.compiled(place.go, "server", SERVER_GO)
    for name in (names.LLAMA_STACK_IMAGE, names.OGX_IMAGE, MODEL):
        images.add(place, name, {"/server": binary}, entrypoint=("/server",))


def namespace(node: Node, name: str) -> str:
    """A namespace like any other."""
    meta = {"name": name}
    apply(node.kubeconfig, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    return name


def shown(node: Node, namespace: str, *what: str) -> Any:
    """An object, or a list of them."""
    words = ("-n", namespace, "get", *what, "-o", "json")
    return json.loads(kubectl(node.kubeconfig, *words).stdout)


def until[T](
    node: Node,
    namespace: str,
    what: tuple[str, ...],
    probe: Callable[[dict[str, Any]], T | None],
    *,
    timeout: float = 90,
) -> T:
    """Wait until an object is so; what the probe gives is not None then."""

    def look() -> T | NotYet:
        words = ("-n", namespace, "get", *what, "-o", "json")
        done = kubectl(node.kubeconfig, *words, check=False)
        if done.returncode:
            return NotYet(done.stderr.strip())
        one = json.loads(done.stdout)
        found = probe(one)
        return found if found is not None else NotYet(json.dumps(one.get("status"))[:3000])

    return wait_for(" ".join(what), look, timeout=timeout, every=0.5)


def phase(*wanted: str) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """A probe: the whole object, once its status has one of these phases."""
    return lambda one: one if one.get("status", {}).get("phase") in wanted else None


def conditions(one: dict[str, Any]) -> dict[str, str]:
    """The conditions of an object: what each says."""
    return {c["type"]: c["status"] for c in one["status"].get("conditions", [])}


def raw(node: Node, namespace: str, service: str, port: str, path: str) -> Any:
    """Ask a Service, through the API server."""
    url = f"/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy{path}"
    return kubectl(node.kubeconfig, "get", "--raw", url).stdout
