"""The sequence on the OpenShift profile: what both generations of the operator have in common.

Notebook 01 adds a GPU node, which is simulated: no kubelet is behind it. For the model that the kit
then chooses for it, the real node takes its place: it offers the GPU that it does not have, and
llama.cpp, which stands in for vLLM, does without.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import workshop
from runs import ASKED, SECURED, Run, checked, running
from testcluster import software
from testcluster.kubectl import kubectl
from testcluster.node import Node
from testcluster.openshift import machines, names
from testcluster.place import Place

IMAGES = {"llama-stack": names.LLAMA_STACK_IMAGE, "ogx": names.OGX_IMAGE}


ROTATED = {"llama-stack": "model", "ogx": ""}
"""What notebook 08 makes anew: that which differs here. The plain sequence does the rest."""


@contextmanager
def sequence(node: Node, place: Place, namespace: str, home: Path, server: str) -> Iterator[Run]:
    """Run the notebooks 00 to 08, with the real software under Red Hat's names for it."""
    software.add_mcp_server(place)
    software.add_mongodb(place)
    software.add_vllm(place)
    software.add_llama_stack(place, IMAGES[server], server=server)
    if server == "llama-stack":
        # The collector has the same image on every cluster.
        software.add_llama_stack(place)
    # As on OpenShift, where security context constraints are the gate: the pod that the operator
    # makes is not restricted.
    with running(node, namespace, home, restricted=False) as run:
        run.start("--to", "01")
        assert run.code == 0, run.output
        statuses = {step["notebook"]: step["status"] for step in run.report["steps"]}
        assert set(statuses.values()) == {"passed"}
        machines.lend_gpu(node.kubeconfig, {})
        # Six answers are asked for in the plain sequence; one question here.
        run.start("--from", "02", "--to", "06")
        assert run.code == 0, run.output + run.logs()
        run.start("--only", "08", "-p", f"ROTATE={ROTATED[server]}")
        yield run


def assert_grounded(run: Run) -> None:
    """What the steps checked, and one answer."""
    checked(run, SECURED, asked=())
    answer = workshop.create_agent(run.target).ask(ASKED[1].text)
    assert answer.grounded
    assert [call.ok for call in answer.tool_calls] == [True]


def assert_operated(run: Run, kind: str) -> None:
    """The custom resource is Ready, and the server's Deployment is its operator's."""

    def shown(what: str) -> dict[str, Any]:
        words = ("-n", run.namespace, "get", what, "llama-stack", "-o", "json")
        found: dict[str, Any] = json.loads(kubectl(run.node.kubeconfig, *words).stdout)
        return found

    assert shown(kind.lower())["status"]["phase"] == "Ready"
    owners = shown("deployment")["metadata"]["ownerReferences"]
    assert owners[0]["kind"] == kind
