"""Which part is the reason, when something does not work: each is asked, and the first one named.

A part that depends on a broken one fails as well. What is named is therefore the failing part whose
own needs are all met; what fails because of it is told, and not blamed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from workshop.core.errors import WorkshopError
from workshop.core.progress import stages
from workshop.operate.doctor.log_patterns import read_signs
from workshop.parts import mcp_server
from workshop.parts.catalog import ALL
from workshop.targets.base import Problem, Target
from workshop.targets.spec import Spec

UNDERNEATH = ("cluster", "permissions", "gpu-nodes", "network")
"""What parts of a cluster rest on."""

FAILING = 3
"""Tool calls that failed, until more than half of all is no accident."""


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


def examine(target: Target) -> list[Finding]:
    """Look at what the place knows, and ask every part what its notebook's checkpoint asks.

    A part of which the place knows that it is broken is not asked. Nothing is changed. The model is
    asked two short questions: some seconds on a CPU.
    """
    with stages("Doctor") as stage:
        stage(f"looking at what the {target.name} target knows")
        known = target.problems()
        there = set() if any(one.part == "cluster" for one in known) else _deployed(target, known)
        found: list[Finding] = []
        for part in dict.fromkeys((*UNDERNEATH, *(one.name for one in ALL))):
            spec = ALL.get(part)
            broken = {finding.part for finding in found if not finding.ok}
            because = tuple(need for need in (spec.needs if spec else ()) if need in broken)
            problems = [one for one in known if one.part == part]
            found += [_told(one, broken, because, target.name) for one in problems]
            if spec and spec.examine and part in there and not problems:
                stage(f"asking {part}")
                found.append(_examined(target, spec, because))
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


def _deployed(target: Target, known: Sequence[Problem]) -> set[str]:
    try:
        there = {row.name for row in target.status()}
        registered = target.store.recall(mcp_server.REGISTERED) is not None
        return there | ({mcp_server.TOOLS.name} if registered else set())
    except WorkshopError:
        # A place that does not let itself be asked has said so.
        if not known:
            raise
        return set()


def _told(
    problem: Problem, broken: Collection[str], by_needs: tuple[str, ...], place: str
) -> Finding:
    # What the place saw, it saw whatever this user may do.
    because = tuple(one for one in by_needs if one != "permissions")
    if problem.because is not None:
        because = tuple(one for one in problem.because if one in broken)
    # Of its log alone: what the place said of it, its hint explains.
    reason, remedy = read_signs(problem.log, place)
    last = problem.log[-1] if problem.log and problem.part not in UNDERNEATH else ""
    seen = " ".join(filter(None, [reason and f"{reason}:", problem.what, problem.state, last]))
    hint = f"{remedy}; then {problem.hint}" if remedy else problem.hint
    return Finding(problem.part, False, " ".join(seen.split()), hint, because)


def _examined(target: Target, spec: Spec, because: tuple[str, ...]) -> Finding:
    try:
        said = spec.examine(target) if spec.examine else ""
    except WorkshopError as error:
        reason, remedy = read_signs([error.state, *error.log], target.name)
        seen = " ".join(filter(None, [f"{reason}:" if reason else "", error.what, error.state]))
        hint = error.hint or f"run {spec.notebook} again"
        if "credential was refused" in seen:
            hint = spec.if_refused or hint
        if remedy:
            hint = f"{remedy}; then {hint}"
        return Finding(spec.name, False, " ".join(seen.split()), hint, because)
    return Finding(spec.name, True, said if isinstance(said, str) else "")


def culprits(found: Iterable[Finding]) -> list[Finding]:
    """The failing parts whose own needs are met."""
    return [finding for finding in found if not finding.ok and not finding.because]
