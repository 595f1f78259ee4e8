"""Which part is the reason, when something does not work: each is asked, and the first one named.

A part that depends on a broken one fails as well. What is named is therefore the failing part whose
own needs are all met; what fails because of it is told, and not blamed.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from workshop.core.errors import WorkshopError
from workshop.core.progress import stages
from workshop.parts import mcp_server
from workshop.parts.catalog import ALL
from workshop.targets.base import Problem, Target
from workshop.targets.spec import Spec

UNDERNEATH = ("cluster", "permissions", "gpu-nodes", "network")  # What parts of a cluster rest on.
FAILING = 3  # Tool calls that failed, until more than half of all is no accident.

LOG_PATTERNS = (
    (
        r"no space left on device|disk is full|ENOSPC",
        "the disk is full",
        "free space, or set WORKSHOP_HOME to another disk",
        "a larger volume, by STORAGE_SIZE in the notebook; or free space on the node",
    ),
    (
        r"CUDA out of memory|KV cache is needed|No available memory for the cache blocks",
        "the model does not fit into the GPU's memory",
        "take a smaller model",
        "take a smaller or a quantised model by MODEL in 02_serve_model, or a larger GPU",
    ),
    (
        r"out of memory|cannot allocate memory|bad_alloc|killed by SIGKILL|OOMKilled",
        "it was killed, most often because memory ran out",
        "end other programs; the doctor's first lines say how much is free",
        "raise the memory limit in its manifest, or take a smaller model",
    ),
    (
        r"failed to init server|failed to load model",
        "the weights could not be loaded",
        "./bootstrap --verify: it checks them, and downloads them again",
        "delete the weights on the model's volume, and start its pod again",
    ),
    (
        r"requires a tool parser|requires --enable-auto-tool-choice",
        "its server was started without tool calling",
        "vLLM wants --enable-auto-tool-choice and the --tool-call-parser of this model",
        "vLLM wants --enable-auto-tool-choice and the --tool-call-parser of this model: the kit "
        "sets both for the models that it knows",
    ),
    (
        r"maximum context length|exceeds the available context|exceed_context_size",
        "a request was longer than the model's context",
        "give the agent fewer tools in 06_register_mcp_server",
        "give the agent fewer tools in 06_register_mcp_server, or the model a longer context",
    ),
    (
        r"read-only file system|read-only directory|permission denied|EACCES|EROFS"
        r"|operation not permitted",
        "it may not write to its folder",
        "give the folder in the log's lines back to this user",
        "its image wants to write where the namespace's user may not: mount an emptyDir or a claim "
        "there, set fsGroup, point HOME and caches to it; anyuid is not needed, and no chown",
    ),
    (
        r"address already in use|EADDRINUSE",
        "another program took its port",
        "run its notebook again: it takes the next free port",
        "two containers of its pod want one port: use the kit's manifest unchanged",
    ),
    (
        r"database disk image is malformed|file is not a database",
        "its data is damaged",
        "workshop stop mongodb, move .workshop/local/mongodb/data away, and run 04 again",
        "its volume must be made again: 99_clean_up with DELETE_DATA = True",
    ),
    (
        r"getaddrinfo|ENOTFOUND|name or service not known|no such host",
        "it cannot find another part by its name",
        "workshop status: is that part there?",
        "kubectl get services; a NetworkPolicy may block DNS: run 08_secure_the_network again",
    ),
)
"""Words in a log, in small or capital letters; what they mean; what fixes it on one machine, and
on a cluster. Earlier ones say more: a line may fit several."""


@dataclass(frozen=True)
class Finding:
    """What a part said when it was asked, in one line, and what fixes it.

    ``because`` are the broken parts that it needs; none when it is the cause itself.
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
        if mcp_server.PART in there and not causes(found):
            stage("reading how the agent's calls went")
            found += _failing_calls(target)
    return found


def causes(found: Iterable[Finding]) -> list[Finding]:
    """The failing parts whose own needs are met."""
    return [finding for finding in found if not finding.ok and not finding.because]


def read_log(lines: Sequence[str], place: str = "local") -> tuple[str, str]:
    """What a log says of the reason, and what fixes it there; empty when it says nothing known."""
    for line in reversed(lines):
        for pattern, reason, local, cluster in LOG_PATTERNS:
            if re.search(pattern, line, re.IGNORECASE):
                return reason, cluster if place == "cluster" else local
    return "", ""


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
    reason, fix = read_log(problem.log, place)
    last = problem.log[-1] if problem.log and problem.part not in UNDERNEATH else ""
    said = (problem.what, problem.state, last)
    return _failed(problem.part, (reason, fix), said, problem.hint, because)


def _examined(target: Target, spec: Spec, because: tuple[str, ...]) -> Finding:
    try:
        said = spec.examine(target) if spec.examine else ""
    except WorkshopError as error:
        hint = error.hint or f"run {spec.notebook} again"
        if "credential was refused" in f"{error.what} {error.state}":
            hint = spec.if_refused or hint
        known = read_log([error.state, *error.log], target.name)
        return _failed(spec.name, known, (error.what, error.state), hint, because)
    return Finding(spec.name, True, said if isinstance(said, str) else "")


def _failed(
    part: str, known: tuple[str, str], said: Iterable[str], hint: str, because: tuple[str, ...]
) -> Finding:
    """What a failing part said, with the reason and the fix that its log is known to mean."""
    reason, fix = known
    seen = " ".join(" ".join(filter(None, [reason and f"{reason}:", *said])).split())
    return Finding(part, False, seen, f"{fix}; then {hint}" if fix else hint, because)
