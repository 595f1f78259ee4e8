"""The OpenShift profile: one call on a running node."""

from __future__ import annotations

from collections.abc import Callable

from testcluster.node import Node
from testcluster.openshift import crds
from testcluster.openshift.crds import Generation
from testcluster.place import Place

Say = Callable[[str], None]


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
