"""Which part is the reason, when something does not work: each is asked, and the first one named.

A part that depends on a broken one fails as well. What is named is therefore the failing part whose
own needs are all met; what fails because of it is told, and not blamed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workshop import embedder, llama_stack, mcp_server, model, mongodb, registration
from workshop.errors import WorkshopError
from workshop.progress import stages
from workshop.settings import DATA
from workshop.steps import NOTEBOOK_OF
from workshop.target import Target

TOOLS = "agent's tools"

NEEDS = {
    model.PART: (),
    "embedder": (),
    mongodb.PART: (),
    mcp_server.PART: (mongodb.PART,),
    llama_stack.PART: (model.PART, "embedder"),
    TOOLS: (mcp_server.PART, llama_stack.PART),
}
"""Every part with those that it cannot work without, causes before their effects."""

CREDENTIALS = {
    model.PART: "run 02_serve_model again; for a model of your own, export MODEL_TOKEN before",
    mcp_server.PART: "run 05_deploy_mcp_server and 06_register_mcp_server again",
}
"""What mends a refused credential."""

SIGNS: tuple[tuple[str, str, str], ...] = (
    (
        r"no space left on device|disk is full|ENOSPC",
        "the disk is full",
        "make room, or set WORKSHOP_HOME to another disk",
    ),
    (
        r"out of memory|cannot allocate memory|bad_alloc|killed by SIGKILL|OOMKilled",
        "it was killed, most often for want of memory",
        "end other programs; the doctor's first lines say how much is free",
    ),
    (
        r"failed to init server|failed to load model",
        "the weights could not be loaded",
        "./bootstrap --verify: it checks them, and fetches them anew",
    ),
    (
        r"read-only file system|permission denied|EACCES|EROFS",
        "it may not write to its folder",
        "give the folder in the log's lines back to this user",
    ),
    (
        r"address already in use|EADDRINUSE",
        "another program took its port",
        "run its notebook again: it takes the next free port",
    ),
    (
        r"database disk image is malformed|file is not a database",
        "its data are damaged",
        "workshop stop mongodb, move .workshop/local/mongodb/data away, and run 04 again",
    ),
)
"""What a log's last lines say of the reason: a pattern, the reason, what mends it."""


@dataclass(frozen=True)
class Finding:
    """What a part said when it was asked.

    Args:
        part: Its name.
        ok: Whether all was well.
        seen: In one line.
        hint: What mends it.
        because: The broken parts that it needs; empty for a culprit.
    """

    part: str
    ok: bool
    seen: str
    hint: str = ""
    because: tuple[str, ...] = ()


def examine(target: Target, data: Path = DATA) -> list[Finding]:
    """Ask every part that was deployed what its notebook's checkpoint asks; nothing is changed.

    The model is asked two short questions: some seconds on a CPU.
    """
    there = {row.name for row in target.status()}
    if target.recall(registration.FACT):
        there.add(TOOLS)
    examinations: dict[str, Callable[[], object]] = {
        model.PART: lambda: model.verify_model(target),
        "embedder": lambda: embedder.dimension(target.find("embedder")),
        mongodb.PART: lambda: _has_the_data(target, data),
        mcp_server.PART: lambda: mcp_server.verify_mcp_server(target),
        llama_stack.PART: lambda: llama_stack.verify_llama_stack(target),
        TOOLS: lambda: registration.verify_registration(target),
    }
    found: list[Finding] = []
    with stages("Doctor") as stage:
        for part in (name for name in NEEDS if name in there):
            stage(f"asking {part}")
            broken = {finding.part for finding in found if not finding.ok}
            because = tuple(need for need in NEEDS[part] if need in broken)
            found.append(_examined(part, examinations[part], because))
    return found


def _examined(part: str, ask: Callable[[], object], because: tuple[str, ...]) -> Finding:
    try:
        ask()
    except WorkshopError as error:
        reason, remedy = read_signs([error.state, *error.log])
        seen = " ".join(filter(None, [f"{reason}:" if reason else "", error.what, error.state]))
        hint = error.hint or f"run {NOTEBOOK_OF[part]} again"
        if "credential was refused" in seen:
            hint = CREDENTIALS.get(part, hint)
        if remedy:
            hint = f"{remedy}; then {hint}"
        return Finding(part, False, " ".join(seen.split()), hint, because)
    return Finding(part, True, "all well")


def culprits(found: Iterable[Finding]) -> list[Finding]:
    """The failing parts whose own needs are met."""
    return [finding for finding in found if not finding.ok and not finding.because]


def read_signs(lines: Sequence[str]) -> tuple[str, str]:
    """What a log says of the reason, and what mends it; empty when it says nothing known."""
    for line in reversed(lines):
        for pattern, reason, remedy in SIGNS:
            if re.search(pattern, line, re.IGNORECASE):
                return reason, remedy
    return "", ""


def _has_the_data(target: Target, data: Path) -> None:
    """Look for every document of the kit. The checkpoint of notebook 04 would put them back."""
    with mongodb.connected(mongodb.find(target)) as database:
        lacking = []
        for name, key in mongodb.IDS.items():
            documents = mongodb.read_documents(data / f"{name}.json", key)
            there = {d["_id"]: d for d in database[name].find()}
            missing = [d["_id"] for d in documents if d["_id"] not in there]
            edited = [d["_id"] for d in documents if there.get(d["_id"], d) != d]
            lacking += [f"{len(missing)} of {len(documents)} {name} are missing"] * bool(missing)
            lacking += [f"edited {name}: {', '.join(edited[:5])}"] * bool(edited)
    if lacking:
        raise WorkshopError(
            "The sample data is not as it was loaded.",
            state="; ".join(lacking),
            hint="run 04_deploy_mongodb again: it loads what is missing, and restores the rest",
        )
