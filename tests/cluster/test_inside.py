"""The kit inside the cluster, as in a workbench: no kubeconfig, and parts by their Services."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import small
from testcluster import images, software
from testcluster.kubectl import UID, apply, kubectl
from testcluster.node import Node
from testcluster.place import Place
from workshop.core.settings import CHECKOUT

IMAGE = "registry.test/workbench:1"
NAMESPACE = "inside"

PROGRAM = f"""
import json
import workshop
from workshop.clients import http
from workshop.core.errors import EndpointError
from workshop.core.wait import NotYet, wait_for
target = workshop.connect("cluster")
endpoint = target.find("{small.NAME}")
def said():
    # Names and addresses of a Service that was just made reach pods after a moment.
    try:
        return http.call(endpoint, "/").json["said"]
    except EndpointError as error:
        return NotYet(error.what)
print(json.dumps({{
    "namespace": target.api.namespace,
    "url": endpoint.url,
    "said": wait_for("the small server", said, timeout=60),
    "status": [row.state for row in target.status()],
    "secret": repr(target.store.secret("a token", lambda: "inside-canary")),
}}))
"""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def told(node: Node, place: Place) -> dict[str, Any]:
    """What the kit says in a pod of the namespace, whose account may do what a workbench's may."""
    environment = Path(sys.prefix)
    files = {**software.python(environment), str(CHECKOUT / "lib"): CHECKOUT / "lib"}
    images.add(
        place,
        IMAGE,
        files,
        entrypoint=("python",),
        env={"PATH": f"{environment}/bin", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp"},  # noqa: S108
    )
    small.add_image(place)
    with small.target(node, NAMESPACE) as target:
        small.ensure(target, say="good morning")
    account = ("-n", NAMESPACE, "create", "serviceaccount", "workshop")
    kubectl(node.kubeconfig, *account)
    given = ("-n", NAMESPACE, "create", "rolebinding", "workshop", "--clusterrole=admin")
    kubectl(node.kubeconfig, *given, f"--serviceaccount={NAMESPACE}:workshop")
    apply(node.kubeconfig, pod(), namespace=NAMESPACE)
    until = ("-n", NAMESPACE, "wait", "pod/workbench", "--timeout=90s")
    ended = "--for=jsonpath={.status.phase}=Succeeded"
    done = kubectl(node.kubeconfig, "--request-timeout=100s", *until, ended, check=False)
    log = kubectl(node.kubeconfig, "-n", NAMESPACE, "logs", "workbench", check=False).stdout
    assert done.returncode == 0, log or done.stderr
    found: dict[str, Any] = json.loads(log.splitlines()[-1])
    return found


def pod() -> dict[str, Any]:
    """The workbench's pod, restricted, with a user of no name."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "workbench"},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": "workshop",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": UID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "workbench",
                    "image": IMAGE,
                    "args": ["-c", PROGRAM],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def test_it_takes_its_namespace_from_the_service_account(told: dict[str, Any]) -> None:
    assert told["namespace"] == NAMESPACE


def test_parts_are_reached_by_their_services_names(told: dict[str, Any]) -> None:
    assert told["url"] == f"http://mongodb.{NAMESPACE}.svc.cluster.local:8080"
    assert told["said"] == "good morning"
    assert told["status"] == ["running"]


def test_credentials_are_kept_and_not_shown(told: dict[str, Any]) -> None:
    assert told["secret"] == "Secret(****)"
