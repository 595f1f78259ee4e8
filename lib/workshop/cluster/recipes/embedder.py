"""The embedder on a cluster: vLLM as a Deployment, everywhere alike."""

from __future__ import annotations

from workshop.cluster import objects
from workshop.cluster.api import Api
from workshop.cluster.recipes import Plan, overlay, vllm
from workshop.target import Part

NAME = "embedder"


def plan(part: Part, api: Api) -> Plan:
    """``manifests/embedder`` with its token."""
    built = objects.build(objects.MANIFESTS / part.name / overlay(api))
    return vllm.deployed(built, part, NAME)
