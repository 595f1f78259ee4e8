"""A stand-in for a network's policy engine: NetworkPolicies bite on the node.

``ptp`` knows no policies. This follows policies, pods and namespaces, and keeps a table of nftables
in the node's network namespace. Connections that are established go on, and what the node itself
sends, such as the kubelet's probes, passes: both as the API's reference leaves it to a network.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from workshop.core.errors import WorkshopError
from workshop.core.wait import NotYet, wait_for
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.login import connect

from testcluster.place import START, Place
from testcluster.policy_rules import ruleset

PROCESS = "policies"
READY = "policies.ready"
KINDS = (("networking.k8s.io/v1", "NetworkPolicy"), ("v1", "Pod"), ("v1", "Namespace"))
LOG = logging.getLogger(__name__)


def start(place: Place, kubeconfig: Path) -> None:
    """Start it inside the node's network, and wait until its first table is there."""
    ready = place.folder / READY
    place.start_python(PROCESS, "testcluster.policies", str(ready), kubeconfig=kubeconfig)
    process = place.process(PROCESS)

    def probe() -> bool | NotYet:
        if process.state() != "running":
            raise RuntimeError("\n".join(process.log_tail()))
        return ready.exists() or NotYet("no table yet")

    wait_for("the policies' engine", probe, timeout=START, every=0.1, log=process.log_tail)


class Following:
    """All objects of one kind, in all namespaces, by a watch that begins again when it ends."""

    def __init__(self, api: Api, api_version: str, kind: str, changed: threading.Event) -> None:
        self.api_version, self.kind = api_version, kind
        self.objects: dict[tuple[str, str], Object] = {}
        self.listed = threading.Event()
        self._api = api
        self._changed = changed

    def run(self) -> None:
        """Follow, for ever."""
        pause = threading.Event()
        while True:
            fresh: dict[tuple[str, str], Object] | None = {}
            try:
                for change, thing in self._api.watch(self.api_version, self.kind, namespace=None):
                    if change == "LISTED":
                        self.objects, fresh = dict(fresh or {}), None
                        self.listed.set()
                        self._changed.set()
                        continue
                    meta = thing["metadata"]
                    key = (meta.get("namespace", ""), meta["name"])
                    if fresh is not None:
                        fresh[key] = thing
                    elif change == "DELETED":
                        self.objects = {k: v for k, v in self.objects.items() if k != key}
                    else:
                        self.objects = self.objects | {key: thing}
                    self._changed.set()
            except WorkshopError as error:
                LOG.warning("%s", error)
                pause.wait(1)


def main() -> None:
    """Run until it is ended."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    api = connect(dict(os.environ))
    changed = threading.Event()
    kinds = [Following(api, *kind, changed) for kind in KINDS]
    for one in kinds:
        threading.Thread(target=one.run, name=one.kind, daemon=True).start()
    for one in kinds:
        one.listed.wait()
    last = ""
    while True:
        changed.wait()
        changed.clear()
        table = ruleset(*(one.objects.values() for one in kinds))
        if table != last:
            subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)
            last = table
            LOG.info("%d lines", table.count("\n"))
        Path(sys.argv[1]).touch()


if __name__ == "__main__":
    main()
