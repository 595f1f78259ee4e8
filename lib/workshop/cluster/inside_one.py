"""Replicas that should be one: what each of several keeps to itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import yaml

from workshop.ailment import Ailment
from workshop.cluster.api import Api
from workshop.cluster.recipes import llama_stack
from workshop.cluster.transport import Object

if TYPE_CHECKING:
    from workshop.cluster.workloads import Workload

STACK, TOOLS = "llama-stack", "mcp-server"


def ailments(
    api: Api, workloads: Sequence[Workload], services: Sequence[Object]
) -> Iterator[Ailment]:
    """Several pods of a part whose vectors, tables, volume or sessions are in each by itself."""
    for workload in workloads:
        if workload.replicas < 2 or workload.thing["kind"] == "StatefulSet":
            continue
        kept = [*_lonely(workload), *(_inside(api) if workload.part == STACK else [])]
        if kept:
            yield Ailment(
                workload.part,
                f"{workload.part} has {workload.replicas} replicas, and can have one alone.",
                "; ".join(kept),
                f"kubectl scale deployment {workload.thing['metadata']['name']} --replicas=1; "
                "10_scale_out gives it storage that replicas share",
            )
        if workload.part == TOOLS and not _is_sticky(workload, services):
            yield Ailment(
                TOOLS,
                f"mcp-server has {workload.replicas} replicas, and its Service sends a client now "
                "to one, now to another.",
                "a session is in one pod's memory, and another answers: session not found; the "
                "Service has no sessionAffinity ClientIP",
                "run 05_deploy_mcp_server again: its Service keeps a client with a pod; or one "
                "replica",
            )


def _inside(api: Api) -> list[str]:
    """The providers of the server's configuration that keep what they have in one pod."""
    found = api.get("v1", "ConfigMap", llama_stack.CONFIG)
    text = ((found or {}).get("data") or {}).get("config.yaml", "")
    stores = ((yaml.safe_load(text) or {}).get("providers") or {}).get("vector_io") or []
    kinds = [str(one.get("provider_type", "")) for one in stores]
    return [f"{kind} keeps its vectors in one pod" for kind in kinds if kind.startswith("inline::")]


def _lonely(workload: Workload) -> list[str]:
    """Its volumes that one node alone may mount."""
    volumes = workload.thing["spec"]["template"]["spec"].get("volumes") or []
    names = {
        v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v
    }
    return [
        f"the volume {claim['metadata']['name']} is ReadWriteOnce"
        for claim in workload.seen.claims
        if claim["metadata"]["name"] in names
        and set(claim["spec"].get("accessModes") or []) <= {"ReadWriteOnce", "ReadWriteOncePod"}
    ]


def _is_sticky(workload: Workload, services: Sequence[Object]) -> bool:
    labels = workload.thing["spec"]["template"]["metadata"]["labels"]
    return all(
        one["spec"].get("sessionAffinity") == "ClientIP"
        for one in services
        if one["spec"].get("selector")
        and one["spec"]["selector"].items() <= labels.items()
        # One without an address sends nobody anywhere: Prometheus finds the pods by it.
        and one["spec"].get("clusterIP") != "None"
    )
