"""How the operators' process is started, and where it keeps its files."""

from __future__ import annotations

from pathlib import Path

from workshop.core.wait import NotYet, wait_for

from testcluster.place import START, Place

PROCESS = "operators"
READY = "started"
"""The file that is there once the webhooks are served."""


def folder(of_node: Path) -> Path:
    """Where its certificates are: ``service-ca/ca.crt``, ``router-ca/ca.crt``."""
    return of_node / "openshift"


def start(place: Place, kubeconfig: Path) -> None:
    """Start it inside the node's network, and wait until it admits."""
    module = "testcluster.openshift.operators"
    place.start_python(PROCESS, module, str(place.folder), kubeconfig=kubeconfig)
    ready = folder(place.folder) / READY
    process = place.process(PROCESS)

    def probe() -> bool | NotYet:
        if process.state() != "running":
            raise RuntimeError("\n".join(process.log_tail()))
        return ready.exists() or NotYet("not started")

    wait_for("OpenShift's operators", probe, timeout=START, log=process.log_tail)
