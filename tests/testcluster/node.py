"""One node of a real Kubernetes, in one folder and one network namespace.

All of it runs inside a network namespace of its own, so that bridges, rules and addresses go with
it, and nothing of the machine's own network is touched. This machine reaches the API server and
the node's ports over one link, from ``HOST`` to ``NODE``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workshop.core.wait import NotYet, wait_for

from testcluster import control_plane, dns, images, mounts, policies, volumes, worker
from testcluster.kubectl import kubectl
from testcluster.pki import Authority
from testcluster.place import (
    DNS,
    ENTER,
    HOST,
    LINKS,
    NAME,
    NAMESPACE,
    NODE,
    PAUSE,
    START,
    Place,
    do,
    process,
)
from testcluster.programs import debian_programs, go_programs, need

FOLDER = Path(f"/var/tmp/{NAMESPACE}-test-cluster")  # noqa: S108 - mode 0700
"""Where the slot's node is. Short: containerd's sockets lie below it."""

STOPPED = (
    *("haproxy", "operators", "kserve-manager", volumes.PROCESS, policies.PROCESS),
    *("kubelet", "kube-proxy", "containerd"),
    *("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"),
)
"""What is ended, in this order: nothing shall start a pod again meanwhile."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Node:
    """A node in this folder; ``up`` and ``down`` may be called by different programs."""

    folder: Path

    @property
    def kubeconfig(self) -> Path:
        """For the cluster's administrator."""
        return self.folder / "pki" / "admin.kubeconfig"

    def place(self, say: Say) -> Place:
        """Where it lives; what is missing of its programs is built or fetched first."""
        return Place(self.folder, go_programs(say), debian_programs(say))

    def up(self, say: Say) -> None:
        """Start everything, and wait until the node is Ready and DNS answers.

        What an earlier node has left, running or half-made, goes first.

        Raises:
            Missing: This machine cannot run it; says why.
            PartTooSlow: Something did not answer in time; with its log.
        """
        need("ip", "nsenter", "sysctl", "umount", "go", "apt-get", "dpkg")
        place = self.place(say)
        self.down(say)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        say("making the network")
        _network()
        authority = Authority(self.folder / "pki")
        say("starting the control plane")
        control_plane.start(place, authority)
        say("starting the node")
        worker.start(place, authority)
        images.add_pause(place, PAUSE)
        wait_for(
            "the node to be Ready",
            lambda: _ready(self.kubeconfig) or NotYet("not Ready yet"),
            timeout=START,
            every=0.5,
            log=place.process("kubelet").log_tail,
        )
        mounts.favour_pods()
        volumes.start(place, self.kubeconfig)
        policies.start(place, self.kubeconfig)
        say("starting DNS")
        dns.add(place, self.kubeconfig, DNS)
        rollout = ("rollout", "status", "deployment/coredns", "--timeout=60s")
        kubectl(self.kubeconfig, "--namespace=kube-system", *rollout)

    def down(self, say: Say) -> None:
        """End every process, and take away every mount, link, rule and control group."""
        for name in STOPPED:
            one = process(self.folder, name)
            if one.state() != "absent":
                say(f"stopping {name}")
                one.stop(grace=5)
        mounts.unmount_below(self.folder)
        # The kernel takes a namespace's links away later, when it comes to it.
        if Path(f"/sys/class/net/{LINKS[0]}").exists():
            do("ip", "link", "delete", LINKS[0])
        if Path(f"/var/run/netns/{NAMESPACE}").exists():
            do("ip", "netns", "delete", NAMESPACE)
        mounts.remove_control_groups(mounts.CONTROL_GROUP)
        shutil.rmtree(self.folder, ignore_errors=True)


def _network() -> None:
    inside = ("ip", "-n", NAMESPACE)
    do("ip", "netns", "add", NAMESPACE)
    here, there = LINKS
    do("ip", "link", "add", here, "type", "veth", "peer", there)
    do("ip", "link", "set", there, "netns", NAMESPACE)
    do("ip", "address", "add", f"{HOST}/30", "dev", here)
    do("ip", "link", "set", here, "up")
    do(*inside, "address", "add", f"{NODE}/30", "dev", there)
    do(*inside, "link", "set", there, "up")
    do(*inside, "link", "set", "lo", "up")
    # kube-proxy and the pods' way out want a default route, though nothing is behind it.
    do(*inside, "route", "add", "default", "via", HOST)
    do(*ENTER, "sysctl", "-qw", "net.ipv4.ip_forward=1")


def _ready(kubeconfig: Path) -> bool:
    done = kubectl(kubeconfig, "get", "node", NAME, "-o", "json", check=False)
    if done.returncode:
        return False
    conditions = json.loads(done.stdout)["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
