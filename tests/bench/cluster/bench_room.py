"""``workshop room`` against a loop of ``kubectl apply`` over the very same objects.

Two loops are timed: one call for each namespace's objects, and one call for each object. ``workshop
room`` also checks what each attendee may do, which the loops do not. Every command is timed as a
whole process. Works on the cluster that KUBECONFIG names, or boots one and takes it away again.

    make bench-cluster
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "cluster"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testcluster.node import FOLDER, Node
from workshop.core.secret import Secret
from workshop.core.wait import NotYet, wait_for
from workshop.room.objects import Room, SharedModel
from workshop.targets.cluster.login import connect

ATTENDEES = 100
SIZES = (20, 100, 200)
URL, TOKEN = "https://model.example.com", "not-a-real-token"


@dataclass(frozen=True)
class Timed:
    """One command or loop: seconds, and those on a CPU of this side; memory in MiB; requests."""

    seconds: float
    cpu: float
    memory: float = 0
    requests: int = 0


def main() -> int:
    """Measure, and print the figures."""
    own = not os.environ.get("KUBECONFIG")
    node = Node(FOLDER)
    try:
        if own:
            node.up(say)
            os.environ["KUBECONFIG"] = str(node.kubeconfig)
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder))
    finally:
        if own:
            node.down(say)
    return 0


def measure(folder: Path) -> None:
    """Run everything once; an earlier room of 2 warms caches on both sides."""
    used = ["warm"]
    room("warm", 2)
    kubectl(write(folder, "warm-k", 2, together=True))
    try:
        used += ["whole", "single", *(f"of-{size}" for size in SIZES)]
        whole = loop(write(folder, "whole", ATTENDEES, together=True))
        settled("whole", ATTENDEES)
        made = {}
        for size in sorted(SIZES, key=lambda size: size != ATTENDEES):
            made[size] = room(f"of-{size}", size)
            settled(f"of-{size}", size)
        single = loop(write(folder, "single", ATTENDEES, together=False))
        again = {size: room(f"of-{size}", size) for size in SIZES}
    finally:
        if os.environ["KUBECONFIG"] != str(Node(FOLDER).kubeconfig):
            remove([*used, "warm-k"])
    show(made, again, whole, single)


def show(made: dict[int, Timed], again: dict[int, Timed], whole: Timed, single: Timed) -> None:
    """The table."""
    ours = made[ATTENDEES]
    out(f"\n{ATTENDEES} attendees, {5 * ATTENDEES} objects       seconds   times  CPU here   times")
    for name, other in (
        ("workshop room, with its checks", ours),
        ("kubectl apply, a call a namespace", whole),
        ("kubectl apply, a call an object", single),
    ):
        times, busy = other.seconds / ours.seconds, other.cpu / ours.cpu
        out(f"  {name:33} {other.seconds:8.1f} {times:7.1f} {other.cpu:9.1f} {busy:7.1f}")
    out("\nattendees  seconds  ms each  requests  each  MiB  |  again  ms each  requests")
    for size in SIZES:
        new, old = made[size], again[size]
        out(
            f"{size:9}  {new.seconds:7.1f}  {1000 * new.seconds / size:7.1f}"
            f"  {new.requests:8}  {new.requests / size:4.1f}  {new.memory:3.0f}"
            f"  |  {old.seconds:5.1f}  {1000 * old.seconds / size:7.1f}  {old.requests:8}"
        )
    first, last = made[SIZES[0]], made[SIZES[-1]]
    more = SIZES[-1] - SIZES[0]
    each = 1000 * (last.seconds - first.seconds) / more
    start = first.seconds - each * SIZES[0] / 1000
    out(f"\na further attendee: {each:.1f} ms, and {start:.1f} s to start")


def room(prefix: str, attendees: int) -> Timed:
    """Prepare a room with a shared model, as a command of its own."""
    argv = [sys.executable, "-m", "workshop.cli", "room"]
    argv += ["--attendees", str(attendees), "--prefix", prefix, "--model-url", URL]
    with tempfile.TemporaryFile("w+") as told:
        began = time.monotonic()
        process = subprocess.Popen(
            argv, env=os.environ | {"MODEL_TOKEN": TOKEN}, stdout=told, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        text = told.read()
    found = re.search(r"and (\d+) requests", text)
    if process.returncode or not found:
        raise SystemExit(text)
    return Timed(seconds, on_cpu(usage), usage.ru_maxrss / 1024, int(found.group(1)))


def write(folder: Path, prefix: str, attendees: int, *, together: bool) -> list[Path]:
    """The objects of a room as files: one for each namespace, or one for each object."""
    room = Room(attendees, prefix=prefix, model=SharedModel(URL, token=Secret(TOKEN)))
    files = []
    for number in room.numbers:
        kinds = ("Namespace", *(kind for _, kind in room.kinds))
        mine = [room.build(kind, number) for kind in kinds]
        for index, group in enumerate([mine] if together else [[one] for one in mine]):
            path = folder / f"{prefix}-{number}-{index}.json"
            path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": group}))
            files.append(path)
    return files


def loop(files: list[Path]) -> Timed:
    """One ``kubectl apply`` after the other."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    kubectl(files)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Timed(time.monotonic() - began, on_cpu(after) - on_cpu(before))


def on_cpu(usage: resource.struct_rusage) -> float:
    """Seconds."""
    return usage.ru_utime + usage.ru_stime


def kubectl(files: Iterable[Path]) -> None:
    """Apply each file by a call of its own."""
    program = shutil.which("kubectl", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for path in files:
        subprocess.run(
            [str(program), "apply", "-f", str(path)], check=True, stdout=subprocess.DEVNULL
        )


def settled(prefix: str, attendees: int) -> None:
    """Wait until the controllers are done with new namespaces: what follows is not slowed."""
    api = connect()

    def done() -> object:
        accounts = api.each("v1", "ServiceAccount")
        ready = sum(one["metadata"]["namespace"].startswith(f"{prefix}-") for one in accounts)
        return True if ready >= attendees else NotYet(f"{ready} of {attendees}")

    wait_for("the controllers", done, timeout=300, every=0.5)


def remove(prefixes: Iterable[str]) -> None:
    """Take away from somebody's own cluster what this has made."""
    for prefix in prefixes:
        argv = [sys.executable, "-m", "workshop.cli", "room", "--remove", "--yes"]
        subprocess.run([*argv, "--prefix", prefix], check=False)


def out(text: str) -> None:
    """One line of the table."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Progress."""
    sys.stderr.write(f"  {text}\n")


if __name__ == "__main__":
    sys.exit(main())
