"""Where one node lives: its folder, its network namespace, and how programs start in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workshop.targets.local.process import Command, Process

SLOT = int(os.environ.get("TEST_CLUSTER_SLOT") or os.environ.get("PYTEST_XDIST_WORKER", "0")[-1])
"""Which of the machine's nodes this is: 0, or up to 9 for one beside it. Tests that run side by
side have a node per worker of pytest-xdist, which are called gw0, gw1 and so on."""

HOST, NODE = f"10.199.{77 + SLOT}.1", f"10.199.{77 + SLOT}.2"
SERVICES, API, DNS = "10.96.0.0/16", "10.96.0.1", "10.96.0.10"
PODS = "10.244.0.0/16"
NAME = "node-1"
APPS = f"apps.cluster-{SLOT}.workshop.test"
"""In the OpenShift profile, the host names of Routes lie below it. Pods resolve them to the node;
this machine must be told."""
PAUSE = "registry.test/pause:1"
START = 120.0
"""Seconds for one program to answer. The API server takes 3 on an idle machine."""

NAMESPACE = "agent-workshop" + (f"-{SLOT}" if SLOT else "")
"""The network namespace: one node runs in a slot at a time."""

LINKS = (f"aw-host-{SLOT}", f"aw-node-{SLOT}")
"""The two ends of the link between the machine and the node."""

URL = f"https://{NODE}:6443"
"""The API server, from this machine and from inside."""


@dataclass(frozen=True)
class Place:
    """Starts programs inside the network namespace; their control folders are in ``folder``."""

    folder: Path
    go: Path
    debian: Path

    @property
    def env(self) -> dict[str, str]:
        """What lets Debian's unpacked programs find each other and their libraries."""
        tools = [self.debian / "usr" / part for part in ("sbin", "bin", "lib/cni")]
        return {
            "PATH": os.pathsep.join([*map(str, tools), os.environ["PATH"]]),
            "LD_LIBRARY_PATH": str(self.debian / "usr" / "lib" / "x86_64-linux-gnu"),
        }

    @property
    def socket(self) -> Path:
        """Containerd's."""
        return self.folder / "containerd.sock"

    def process(self, name: str) -> Process:
        """The control folder of a program."""
        return process(self.folder, name)

    def start(
        self,
        name: str,
        *arguments: str,
        program: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start a program inside the network namespace."""
        command = Command(
            argv=(*OPEN, *ENTER, str(program or self.go / name), *arguments),
            env=self.env | dict(env or {}),
            cwd=self.folder,
            ports={"main": 0},
        )
        self.process(name).start(command, fingerprint="1")

    def start_python(self, name: str, module: str, *arguments: str, kubeconfig: Path) -> None:
        """Start a module of this package, with this account, inside the network namespace."""
        env = {
            "KUBECONFIG": str(kubeconfig),
            "PYTHONUNBUFFERED": "1",
            "TEST_CLUSTER_SLOT": str(SLOT),
        }
        argv = ("-c", RUN, str(Path(__file__).parents[1]), module, *arguments)
        self.start(name, *argv, program=Path(sys.executable), env=env)

    def ctr(self, *arguments: str) -> None:
        """Containerd's own client, in Kubernetes' namespace of images."""
        ctr = self.debian / "usr" / "bin" / "ctr"
        do(str(ctr), f"--address={self.socket}", "--namespace=k8s.io", *arguments)


RUN = """
import runpy, sys
_, folder, module, *arguments = sys.argv
sys.path.insert(0, folder)
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""As ``python -m``: PYTHONPATH does not reach the kit's Python."""

OPEN = ("sh", "-c", 'umask 022 && exec "$@"', "sh")
"""A part's files are its user's alone; a container's must be readable by the container's user."""

ENTER = ("nsenter", f"--net=/var/run/netns/{NAMESPACE}")
"""Not ``ip netns exec``: that also gives a mount namespace, and mounts would not be seen."""


def process(folder: Path, name: str) -> Process:
    """The control folder of a program of the node in this folder."""
    return Process(folder / "run" / name, name)


def do(*argv: str) -> None:
    """Run a command.

    Raises:
        RuntimeError: It failed; with what it said.
    """
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
