"""What a part's log says of the reason why it fails, and what mends that on each target."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sign:
    """Words in a log.

    Args:
        pattern: A regular expression, whatever the case.
        reason: What they mean.
        local: What mends it on one machine.
        cluster: What mends it on a cluster.
    """

    pattern: str
    reason: str
    local: str
    cluster: str


SIGNS = (
    Sign(
        r"no space left on device|disk is full|ENOSPC",
        "the disk is full",
        "make room, or set WORKSHOP_HOME to another disk",
        "a larger claim, by STORAGE_SIZE in the notebook; or room on the node",
    ),
    Sign(
        r"CUDA out of memory|KV cache is needed|No available memory for the cache blocks",
        "the model does not fit into the GPU's memory",
        "take a smaller model",
        "take a smaller or a quantised model by MODEL in 02_serve_model, or a larger GPU",
    ),
    Sign(
        r"out of memory|cannot allocate memory|bad_alloc|killed by SIGKILL|OOMKilled",
        "it was killed, most often for want of memory",
        "end other programs; the doctor's first lines say how much is free",
        "raise the memory limit in its manifest, or take a smaller model",
    ),
    Sign(
        r"failed to init server|failed to load model",
        "the weights could not be loaded",
        "./bootstrap --verify: it checks them, and fetches them anew",
        "delete what the model's volume holds of them, and start its pod again",
    ),
    Sign(
        r"requires a tool parser|requires --enable-auto-tool-choice",
        "its server was started without tool calling",
        "vLLM wants --enable-auto-tool-choice and the --tool-call-parser of this model",
        "vLLM wants --enable-auto-tool-choice and the --tool-call-parser of this model: the kit "
        "sets both for the models that it knows",
    ),
    Sign(
        r"maximum context length|exceeds the available context|exceed_context_size",
        "a request was longer than the model's context",
        "let the agent have fewer tools in 06_register_mcp_server",
        "let the agent have fewer tools in 06_register_mcp_server, or the model a longer context",
    ),
    Sign(
        r"read-only file system|read-only directory|permission denied|EACCES|EROFS"
        r"|operation not permitted",
        "it may not write to its folder",
        "give the folder in the log's lines back to this user",
        "its image wants to write where the namespace's user may not: mount an emptyDir or a claim "
        "there, set fsGroup, point HOME and caches to it; anyuid is not needed, and no chown",
    ),
    Sign(
        r"address already in use|EADDRINUSE",
        "another program took its port",
        "run its notebook again: it takes the next free port",
        "two containers of its pod want one port: use the kit's manifest unchanged",
    ),
    Sign(
        r"database disk image is malformed|file is not a database",
        "its data are damaged",
        "workshop stop mongodb, move .workshop/local/mongodb/data away, and run 04 again",
        "its volume must be made anew: 99_clean_up with DELETE_DATA = True",
    ),
    Sign(
        r"getaddrinfo|ENOTFOUND|name or service not known|no such host",
        "it cannot find another part by its name",
        "workshop status: is that part there?",
        "kubectl get services; a NetworkPolicy may shut out DNS: run 08_secure_the_network again",
    ),
)
"""Earlier ones are the more telling: a line may fit several."""


def read_signs(lines: Sequence[str], place: str = "local") -> tuple[str, str]:
    """What a log says of the reason, and what mends it there; empty when it says nothing known."""
    for line in reversed(lines):
        for sign in SIGNS:
            if re.search(sign.pattern, line, re.IGNORECASE):
                return sign.reason, sign.cluster if place == "cluster" else sign.local
    return "", ""
