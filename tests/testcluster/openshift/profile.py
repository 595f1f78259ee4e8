"""The OpenShift profile: one call on a running node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from testcluster import images
from testcluster.kubectl import apply
from testcluster.node import Node
from testcluster.openshift import crds, installed, kserve, names, routes, starting
from testcluster.openshift.crds import Generation
from testcluster.place import Place

Say = Callable[[str], None]

PROXY_GO = Path(__file__).with_name("auth_proxy.go")

NAMESPACES = (names.APPLICATIONS, names.MACHINES, names.MARKETPLACE, names.MANAGED)
"""What an OpenShift has, of that which the profile needs."""


def up(
    node: Node, place: Place, say: Say, *, generation: Generation = "ogx", headless: bool = True
) -> None:
    """Make the running node look like OpenShift with OpenShift AI.

    Args:
        node: The running node.
        place: Where it lives.
        say: Progress.
        generation: Which of the two Llama Stack operators it has.
        headless: Whether KServe's Services have no address of their own, as OpenShift AI has it.
    """
    say("adding OpenShift's kinds")
    crds.install(node.kubeconfig, generation)
    apply(node.kubeconfig, *map(namespace, NAMESPACES))
    installed.install(node.kubeconfig)
    proxy = images.compiled(place.go, "auth-proxy", PROXY_GO.read_text())
    images.add(place, names.PROXY_IMAGE, {"/auth-proxy": proxy}, entrypoint=("/auth-proxy",))
    say("starting OpenShift's operators")
    starting.start(place, node.kubeconfig)
    routes.start(place)
    say("starting KServe")
    kserve.start(place, node.kubeconfig, say, headless=headless)


def namespace(name: str) -> dict[str, Any]:
    """A namespace, as ``kubectl apply`` wants it."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
