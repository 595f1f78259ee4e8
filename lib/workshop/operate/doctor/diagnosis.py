"""Which part is the reason, when something does not work: each is asked, and the first one named.

A part that depends on a broken one fails as well. What is named is therefore the failing part whose
own needs are all met; what fails because of it is told, and not blamed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workshop.clients import mcp
from workshop.core.errors import WorkshopError
from workshop.core.progress import stages
from workshop.core.settings import DATA
from workshop.operate.doctor.log_patterns import read_signs
from workshop.parts import embedder, llama_stack, mcp_server, model, mongodb
from workshop.parts.catalog import NOTEBOOK_OF
from workshop.targets.base import Ailment, Target

TOOLS = "agent's tools"

UNDERNEATH = ("cluster", "permissions", "gpu-nodes", "network")
"""What parts of a cluster rest on."""

NEEDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(UNDERNEATH, ()),
    model.PART: ("cluster", "permissions"),
    "embedder": ("cluster", "permissions"),
    "collector": (),
    "postgresql": (),
    mongodb.PART: ("cluster", "permissions"),
    mongodb.REPLICAS: ("cluster", "permissions"),
    mcp_server.PART: (mongodb.PART, mongodb.REPLICAS, "network", "permissions"),
    llama_stack.PART: (model.PART, "embedder", "postgresql", "network", "permissions"),
    TOOLS: (mcp_server.PART, llama_stack.PART, model.PART),
    "prometheus": (),
}
"""Every part with those that it cannot work without, causes before their effects."""

FAILING = 3
"""Tool calls that failed, until more than half of all is no accident."""

CREDENTIALS = {
    model.PART: "run 02_serve_model again; for a model of your own, export MODEL_TOKEN before",
    mcp_server.PART: "run 05_deploy_mcp_server and 06_register_mcp_server again",
}
"""What mends a refused credential."""


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
    """Look at what the place knows, and ask every part what its notebook's checkpoint asks.

    A part of which the place knows that it is broken is not asked. Nothing is changed. The model is
    asked two short questions: some seconds on a CPU.
    """
    with stages("Doctor") as stage:
        stage(f"looking at what the {target.name} target knows")
        known = target.ailments()
        there = set() if any(one.part == "cluster" for one in known) else _deployed(target, known)
        examinations: dict[str, Callable[[], object]] = {
            model.PART: lambda: model.verify_model(target),
            "embedder": lambda: embedder.dimension(target.find("embedder")),
            mongodb.PART: lambda: _has_the_data(target, data),
            mcp_server.PART: lambda: _speaks(target),
            llama_stack.PART: lambda: llama_stack.verify_llama_stack(target),
            TOOLS: lambda: _has_tools(target),
        }
        found: list[Finding] = []
        for part, needs in NEEDS.items():
            broken = {finding.part for finding in found if not finding.ok}
            because = tuple(need for need in needs if need in broken)
            ailments = [one for one in known if one.part == part]
            found += [_ailing(one, broken, because, target.name) for one in ailments]
            if part in there and part in examinations and not ailments:
                stage(f"asking {part}")
                found.append(_examined(part, examinations[part], because, target.name))
        if mcp_server.PART in there and not culprits(found):
            stage("reading how the agent's calls went")
            found += _failing_calls(target)
    return found


def _failing_calls(target: Target) -> list[Finding]:
    """Whether most calls of tools fail, though every part is well: by the MCP server's metrics."""
    made, failed = mcp_server.calls(target.find(mcp_server.PART))
    if failed < FAILING or 2 * failed <= made:
        return []
    seen = f"every part is well, and {failed} of {made} tool calls failed since the MCP server "
    hint = (
        "workshop logs mcp-server says how; most often the model invents arguments: give the agent "
        "fewer tools in 06_register_mcp_server, or take a larger model"
    )
    return [Finding("agent", False, seen + "was started", hint)]


def _deployed(target: Target, known: Sequence[Ailment]) -> set[str]:
    try:
        there = {row.name for row in target.status()}
        return there | ({TOOLS} if target.recall(mcp_server.REGISTERED) else set())
    except WorkshopError:
        # A place that does not let itself be asked has said so.
        if not known:
            raise
        return set()


def _ailing(
    ailment: Ailment, broken: Collection[str], by_needs: tuple[str, ...], place: str
) -> Finding:
    # What the place saw, it saw whatever this user may do.
    because = tuple(one for one in by_needs if one != "permissions")
    if ailment.because is not None:
        because = tuple(one for one in ailment.because if one in broken)
    # Of its log alone: what the place said of it, its hint explains.
    reason, remedy = read_signs(ailment.log, place)
    last = ailment.log[-1] if ailment.log and ailment.part not in UNDERNEATH else ""
    seen = " ".join(filter(None, [reason and f"{reason}:", ailment.what, ailment.state, last]))
    hint = f"{remedy}; then {ailment.hint}" if remedy else ailment.hint
    return Finding(ailment.part, False, " ".join(seen.split()), hint, because)


def _examined(
    part: str, ask: Callable[[], object], because: tuple[str, ...], place: str
) -> Finding:
    try:
        said = ask()
    except WorkshopError as error:
        reason, remedy = read_signs([error.state, *error.log], place)
        seen = " ".join(filter(None, [f"{reason}:" if reason else "", error.what, error.state]))
        hint = error.hint or f"run {NOTEBOOK_OF[part]} again"
        if "credential was refused" in seen:
            hint = CREDENTIALS.get(part, hint)
        if remedy:
            hint = f"{remedy}; then {hint}"
        return Finding(part, False, " ".join(seen.split()), hint, because)
    return Finding(part, True, said if isinstance(said, str) else "")


def culprits(found: Iterable[Finding]) -> list[Finding]:
    """The failing parts whose own needs are met."""
    return [finding for finding in found if not finding.ok and not finding.because]


def _speaks(target: Target) -> str:
    """Ask the MCP server what its checkpoint asks; gives the protocol revisions it was asked in."""
    mcp_server.verify_mcp_server(target)
    newer = mcp.revision(target.find(mcp_server.PART), mcp_server.PATH)
    return f"MCP {mcp.PROTOCOL} with the agent's server, {newer} with the kit"


def _has_tools(target: Target) -> None:
    if target.recall("model name"):
        mcp_server.check_tools_fit(target)
    mcp_server.verify_registration(target)


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
