"""The plain-Kubernetes profile through the library, against ``kubectl apply -k`` and ``wait``.

Both bring up the very same objects: model, embedder, Llama Stack, MongoDB and MCP server. The
library also asks each part whether it works, which ``kubectl wait`` does not. They take turns, each
in a namespace of its own; the medians count. A warm-up goes first, for the node's page cache.

    make bench-cluster
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "cluster"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testcluster import software
from testcluster.kubectl import kubectl, restricted_namespace
from testcluster.node import FOLDER, Node
from workshop.core import progress
from workshop.parts import embedder, llama_stack, mcp_server, model, mongodb
from workshop.parts.catalog import ALL, start_early
from workshop.targets.cluster import objects
from workshop.targets.cluster.login import connect
from workshop.targets.cluster.target import ClusterTarget

ROUNDS = 3
WAIT = "240s"
FOLDERS = (
    *("model/overlays/kubernetes-cpu", "embedder/overlays/kubernetes"),
    *("llama-stack/overlays/kubernetes", "mongodb/overlays/kubernetes"),
    "mcp-server/overlays/kubernetes",
)
SECRETS = {
    "model": {"token": "t"},
    "embedder": {"token": "t"},
    "llama-stack": {"model-token": "t", "embedder-token": "t"},
    "mongodb": {
        "username": "workshop",
        "password": "p",
        "reader-username": "reader",
        "reader-password": "p",
        "monitor-username": "workshop-monitor",
        "monitor-password": "p",
    },
    "mongodb-mcp-server": {
        "connection-string": "mongodb://reader:p@mongodb:27017/?authSource=admin",
        "http-headers": json.dumps({"authorization": "Bearer t"}),
    },
}


def main() -> int:
    """Measure, and print the figures."""
    node = Node(FOLDER)
    try:
        node.up(say)
        os.environ["KUBECONFIG"] = str(node.kubeconfig)
        place = node.place(say)
        for add in (software.add_mcp_server, software.add_mongodb, software.add_vllm):
            add(place)
        software.add_llama_stack(place)
        seconds: dict[str, list[float]] = {"library": [], "kubectl": []}
        ways: dict[str, Callable[[Node, str], None]] = {"library": library, "kubectl": by_kubectl}
        for number in range(ROUNDS + 1):
            for name, way in ways.items():
                with namespace(node, f"{name}-{number}") as where:
                    began = time.monotonic()
                    way(node, where)
                    took = time.monotonic() - began
                say(f"{name}: {took:.1f} s" + ("" if number else " (warm-up)"))
                if number:
                    seconds[name].append(took)
    finally:
        node.down(say)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in middle.items():
        say(f"{name}: median of {ROUNDS}: {value:.1f} s")
    say(f"library / kubectl: {middle['library'] / middle['kubectl']:.2f} (at most 1.0)")
    return 0


@contextmanager
def namespace(node: Node, name: str) -> Iterator[str]:
    """A fresh one, that is wholly gone before the next begins."""
    restricted_namespace(node.kubeconfig, name)
    yield name
    kubectl(node.kubeconfig, "--request-timeout=120s", "delete", "namespace", name)


def library(node: Node, where: str) -> None:
    """As the notebooks do it, without what they prove and load."""
    env = {"KUBECONFIG": str(node.kubeconfig), "WORKSHOP_NAMESPACE": where}
    target = ClusterTarget(connect(env), ALL)
    progress.use(progress.Silent())
    start_early(target, {"02": {}, "03": {}, "04": {}, "05": {}})
    served = model.serve_model(target)
    with progress.stages("bench") as stage:
        part, ready = embedder.part_of(target), embedder.ready
        vectors = target.ensure(part, ready=ready, timeout=240, stage=stage).endpoint
        size = embedder.dimension(vectors)
        part = llama_stack.part_of("llama-stack", "faiss", served.endpoint, vectors, size)
        target.ensure(part, ready=llama_stack.ready, timeout=240, stage=stage)
    mongodb.deploy_mongodb(target)
    mcp_server.deploy_mcp_server(target)


def by_kubectl(node: Node, where: str) -> None:
    """As a person does it: secrets, manifests, and waiting for what is available."""
    at = [objects.kubectl(), f"--kubeconfig={node.kubeconfig}", "-n", where]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "secrets.json"
        items = [objects.secret(name, name, content) for name, content in SECRETS.items()]
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        run(*at, "apply", "-f", str(file))
    for part in FOLDERS:
        run(*at, "apply", "-k", str(objects.MANIFESTS / part))
    run(*at, "wait", "deployment", "--all", "--for=condition=Available", f"--timeout={WAIT}")
    run(*at, "wait", "job", "--all", "--for=condition=Complete", f"--timeout={WAIT}")


def run(*argv: str) -> None:
    """Run a command, and be quiet about it."""
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
