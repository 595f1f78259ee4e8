"""What a node leaves on the machine outside its folder and its network namespace."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import psutil
from workshop.targets.local.process import MARKER

from testcluster.place import HOST, NAMESPACE, SLOT

CONTROL_GROUPS = Path("/sys/fs/cgroup")

CONTROL_GROUP = NAMESPACE if SLOT else "kubepods"
"""The pods' one: a kubelet ends all that it does not know in its own."""


def unmount_below(folder: Path) -> None:
    """Take away every mount below the folder, the deepest first."""
    found = []
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        # Blanks in a path are written as octal numbers.
        path = line.split(" ")[1].encode().decode("unicode_escape")
        if path.startswith(f"{folder}/"):
            found.append(path)
    for path in sorted(found, key=len, reverse=True):
        subprocess.run(["umount", "--lazy", path], capture_output=True, check=False)


SHARES = 8192
"""Of the processors, for all pods together; each terminal session on the machine has 1024. With as
little, a model in a pod reads 8 tokens a second beside three busy sessions."""


def make_control_group(name: str) -> None:
    """Make a control group of this name in every hierarchy (version 1), as kubelet wants it."""
    for top in CONTROL_GROUPS.iterdir():
        if top.is_symlink() or not (top / "cgroup.procs").exists():
            continue
        group = top / name
        group.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            # A new group has none, and nothing may run in it then.
            if (group / file).exists():
                (group / file).write_text((top / file).read_text())


def favour_pods() -> None:
    """Give the pods their share, once the kubelet has made their control group and set its own."""
    shares = CONTROL_GROUPS / "cpu" / CONTROL_GROUP / "cpu.shares"
    if shares.exists():
        shares.write_text(str(SHARES))


def remove_control_groups(name: str) -> None:
    """Remove the (empty) control groups of this name in every hierarchy, the deepest first."""
    for top in (CONTROL_GROUPS / name, *CONTROL_GROUPS.glob(f"*/{name}")):
        if not top.is_dir():
            continue
        groups = [path for path in top.rglob("*") if path.is_dir()]
        for group in sorted([top, *groups], key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()


def left(folder: Path) -> list[str]:
    """What an ended node has left: files, mounts, links, namespaces, groups, processes."""
    found = [str(folder)] if folder.exists() else []
    mounted = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    found += [line for line in mounted if f"{folder}/" in line]
    shown = subprocess.run(["ip", "address"], capture_output=True, text=True, check=True).stdout
    found += [line for line in shown.splitlines() if f"{HOST}/" in line]
    shown = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    found += [line for line in shown.splitlines() if line.split()[:1] == [NAMESPACE]]
    found += map(str, CONTROL_GROUPS.glob(f"*/{CONTROL_GROUP}"))
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARKER, "").startswith(f"{folder}/"):
                found.append(" ".join(process.cmdline()))
    return found
