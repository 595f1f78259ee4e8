"""An operator of Llama Stack or OGX on a cluster without Routes, and the kit's part that it runs.

It is the stand-in of ``testcluster/openshift``, in this process, as the projects ship theirs: it
knows the distribution ``starter``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import httpx
import openshift_help as help_
from testcluster.kubectl import apply, kubectl, wait_for_crds
from testcluster.node import Node
from testcluster.openshift.api import Api
from testcluster.openshift.llama_stack import LlamaStack
from testcluster.openshift.llama_stack_crds import llama_stack_distribution, ogx_server
from workshop.clients import http
from workshop.core.progress import Stages
from workshop.parts import llama_stack
from workshop.parts.catalog import ALL
from workshop.targets.base import Deployed, Endpoint
from workshop.targets.cluster.login import connect
from workshop.targets.cluster.target import ClusterTarget

CRDS = {"ogx": ogx_server, "llama-stack": llama_stack_distribution}
MODEL = Endpoint("http://models.test:8080", adopted=True)


@dataclass(frozen=True)
class Operated:
    """A namespace, and the server in it; ``operator`` is None where a Deployment runs it."""

    node: Node
    server: str
    namespace: str
    operator: LlamaStack | None = None

    @property
    def kind(self) -> str:
        """Of the custom resource."""
        return str(CRDS[self.server]()["spec"]["names"]["kind"])

    @cached_property
    def target(self) -> ClusterTarget:
        """As a notebook connects to it."""
        kubeconfig = str(self.node.kubeconfig)
        return ClusterTarget(
            connect({"KUBECONFIG": kubeconfig, "WORKSHOP_NAMESPACE": self.namespace}), ALL
        )

    def ensure(self, model: Endpoint = MODEL, **settings: str) -> Deployed:
        """The server on a model that is the user's own."""
        vectors = Endpoint("http://embedder:8081")
        part = llama_stack.part_of(self.server, "faiss", model, vectors, 384)
        part = replace(part, settings={**part.settings, **settings})
        stage = Stages("operated")
        return self.target.ensure(part, ready=llama_stack.ready, timeout=120, stage=stage)

    def kubectl(self, *words: str) -> str:
        return str(kubectl(self.node.kubeconfig, "-n", self.namespace, *words).stdout)

    def shown(self, *what: str) -> Any:
        return help_.shown(self.node, self.namespace, *what)

    def environment(self, deployed: Deployed) -> dict[str, str]:
        """What the small server was started with, as it says itself."""
        told = http.call(deployed.endpoint, "/").json
        return dict(pair.split("=", 1) for pair in told["env"])


@contextmanager
def operated(node: Node, server: str, namespace: str) -> Iterator[Operated]:
    """This server's operator, and no other's, for the time of some tests."""
    crd = CRDS[server]()
    over, api = threading.Event(), Api(node.kubeconfig)
    operator = LlamaStack(api, "starter")

    def run() -> None:
        while not over.wait(0.5):
            try:
                operator.reconcile()
            except (RuntimeError, httpx.HTTPError):  # As in ``operators``: the next look.
                continue

    running = threading.Thread(target=run)
    apply(node.kubeconfig, crd)
    try:
        wait_for_crds(node.kubeconfig)
        help_.namespace(node, namespace)
        running.start()
        yield Operated(node, server, namespace, operator)
    finally:
        over.set()
        if running.ident:
            running.join()
        api.http.close()
        # A kind without its operator would mislead the tests that follow.
        kubectl(node.kubeconfig, "delete", "namespace", namespace, "--wait=false", check=False)
        kubectl(node.kubeconfig, "delete", "crd", crd["metadata"]["name"])
