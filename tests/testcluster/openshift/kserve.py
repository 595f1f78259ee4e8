"""The real KServe controller, set up as OpenShift AI does it: plain Deployments, no ingress."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import yaml
from workshop.core.wait import NotYet, wait_for

from testcluster import pins
from testcluster.kubectl import apply
from testcluster.openshift.names import APPLICATIONS, APPS
from testcluster.pki import Authority
from testcluster.place import NODE, START, Place
from testcluster.programs import Say, go_programs, module_folder

PROCESS = "kserve-manager"
HEALTH = f"{NODE}:8085"
WEBHOOKS = 9444


def start(place: Place, kubeconfig: Path, say: Say, *, headless: bool) -> None:
    """Build it if need be, start it, and wait until it is ready.

    Args:
        place: Where the node lives.
        kubeconfig: The cluster's administrator.
        say: Progress.
        headless: Whether predictors' Services have no address, so that no port is mapped.
    """
    program = go_programs(say, (pins.KSERVE,)) / PROCESS
    apply(kubeconfig, config(headless=headless))
    temporary = place.folder / PROCESS
    # It will not start without this pair, though no webhook of it is ever called.
    folder = temporary / "k8s-webhook-server" / "serving-certs"
    certificate, key = Authority(folder, "kserve").sign("tls", "kserve", hosts=("127.0.0.1",))
    certificate.chmod(0o600)
    key.chmod(0o600)
    place.start(
        PROCESS,
        "--leader-elect=false",
        "--metrics-addr=0",
        f"--webhook-port={WEBHOOKS}",
        f"--health-probe-addr={HEALTH}",
        program=program,
        env={
            "KUBECONFIG": str(kubeconfig),
            "POD_NAMESPACE": APPLICATIONS,
            "TMPDIR": str(temporary),
        },
    )
    wait_for(
        "KServe's controller",
        lambda: _healthy() or NotYet("no answer"),
        timeout=START,
        log=place.process(PROCESS).log_tail,
    )


def config(*, headless: bool) -> dict[str, Any]:
    """Its ConfigMap, as its own source has it, with OpenShift AI's choices."""
    source = module_folder(pins.KSERVE.module, pins.KSERVE.version)
    found: dict[str, Any] = yaml.safe_load(
        (source / "config" / "configmap" / "inferenceservice.yaml").read_text()
    )
    found["metadata"]["namespace"] = APPLICATIONS
    changes = {
        "deploy": {"defaultDeploymentMode": "RawDeployment"},
        "ingress": {
            "disableIngressCreation": True,
            "disableIstioVirtualHost": True,
            "ingressDomain": APPS,
        },
        "service": {"serviceClusterIPNone": headless},
        "storageInitializer": {"enableModelcar": True},
    }
    for key, change in changes.items():
        before = json.loads(found["data"].get(key, "{}"))
        found["data"][key] = json.dumps(before | change)
    return found


def _healthy() -> bool:
    try:
        return httpx.get(f"http://{HEALTH}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
