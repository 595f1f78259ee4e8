"""What a node leaves on the machine outside its folder and its network namespace."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")


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


def remove_control_groups(name: str) -> None:
    """Remove the (empty) control groups of this name in every hierarchy, the deepest first."""
    for top in (CONTROL_GROUPS / name, *CONTROL_GROUPS.glob(f"*/{name}")):
        if not top.is_dir():
            continue
        groups = [path for path in top.rglob("*") if path.is_dir()]
        for group in sorted([top, *groups], key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()
