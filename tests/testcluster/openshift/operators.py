"""``python -m testcluster.openshift.operators``: everything that acts like OpenShift's operators.

One process on the node. Each controller looks at what there is and does what is missing, once a
second: what an object's owner does not take with it, the next look does. A look that fails is
logged and is tried again.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx

from testcluster.openshift.api import Api
from testcluster.openshift.certificates import Certificates
from testcluster.openshift.constraints import Constraints
from testcluster.openshift.lifecycle import Lifecycle
from testcluster.openshift.llama_stack import LlamaStack
from testcluster.openshift.machines import MachineApi
from testcluster.openshift.routes import Router
from testcluster.openshift.serving import LABEL, Serving
from testcluster.openshift.starting import READY, folder
from testcluster.openshift.webhooks import Hook, serve

EVERY = 1.0
"""Seconds between two looks."""

LOG = logging.getLogger(__name__)


def main() -> None:
    """Run until it is ended."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    own = folder(Path(sys.argv[1]))
    own.mkdir(exist_ok=True, mode=0o700)
    api = Api(Path(os.environ["KUBECONFIG"]))
    constraints = Constraints(api)
    serving = Serving(api)
    certificates = Certificates(api, own)
    router = Router(api, own, Path(sys.argv[1]))
    both = ("CREATE", "UPDATE")
    serve(
        api,
        own,
        {
            "namespaces": Hook(
                constraints.namespace, ("namespaces",), ("",), both, everywhere=True
            ),
            "routes": Hook(router.route, ("routes",), ("route.openshift.io",), both),
            "pods": Hook(constraints.pod, ("pods",), ("",)),
            "deployments": Hook(
                serving.deployment, ("deployments",), ("apps",), both, labelled=LABEL
            ),
            "services": Hook(serving.service, ("services",), ("",), both, labelled=LABEL),
            "models": Hook(
                serving.status,
                ("inferenceservices/status",),
                ("serving.kserve.io",),
                ("UPDATE",),
            ),
        },
    )
    constraints.start()
    router.start()
    lifecycle = Lifecycle(api)
    lifecycle.start()
    (own / READY).touch()
    controllers: tuple[Callable[[], None], ...] = (
        certificates.reconcile,
        serving.reconcile,
        LlamaStack(api).reconcile,
        router.reconcile,
        MachineApi(api).reconcile,
        lifecycle.reconcile,
    )
    pause = threading.Event()
    while not pause.wait(EVERY):
        for controller in controllers:
            try:
                controller()
            except (RuntimeError, httpx.HTTPError):
                LOG.exception("a look failed")


if __name__ == "__main__":
    main()
