"""Cyclonus, which analyses NetworkPolicies without a cluster: an opinion that is not ours."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testcluster import programs
from testcluster.pins import Program

MODULE = "github.com/mattfenwick/cyclonus"
CYCLONUS = (Program(MODULE, "v0.5.6", (f"{MODULE}/cmd/cyclonus",)),)

VERDICT = re.compile(r"is allowed\?\s*\|\s*(true|false)", re.I)
ADDRESS = "10.0.0.1"
"""Of every pod: it wants one, and only blocks of addresses are held against it."""


@dataclass(frozen=True)
class End:
    """A pod as policies see it: its labels, its namespace, and that one's labels."""

    labels: Mapping[str, str]
    namespace: str
    of_namespace: Mapping[str, str]

    def peer(self) -> dict[str, Any]:
        """As cyclonus reads it."""
        return {
            "IP": ADDRESS,
            "Internal": {
                "PodLabels": dict(self.labels),
                "NamespaceLabels": dict(self.of_namespace),
                "Namespace": self.namespace,
            },
        }


def build(say: programs.Say) -> Path:
    """The program; it is built the first time, which takes a minute."""
    return programs.go_programs(say, CYCLONUS) / "cyclonus"


def allowed(
    program: Path,
    policies: Sequence[Mapping[str, Any]],
    ways: Sequence[tuple[End, End, int]],
) -> list[bool]:
    """Whether these policies allow each of these ways, by TCP."""
    traffic = [
        {
            "Source": source.peer(),
            "Destination": destination.peer(),
            "Protocol": "TCP",
            "ResolvedPort": port,
        }
        for source, destination, port in ways
    ]
    whole = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicyList",
        "items": list(policies),
    }
    with tempfile.TemporaryDirectory() as work:
        for name, content in (("policies.yaml", whole), ("traffic.json", traffic)):
            (Path(work) / name).write_text(json.dumps(content))
        argv = (
            *(program, "analyze", "--mode=query-traffic"),
            *(f"--policy-path={work}/policies.yaml", f"--traffic-path={work}/traffic.json"),
        )
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    verdicts = [word.lower() == "true" for word in VERDICT.findall(done.stdout)]
    if done.returncode or len(verdicts) != len(traffic):
        raise RuntimeError(f"cyclonus: {len(verdicts)} of {len(traffic)}: {done.stderr[-2000:]}")
    return verdicts
