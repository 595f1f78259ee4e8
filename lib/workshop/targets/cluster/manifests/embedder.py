"""The embedder on a cluster: ``manifests/embedder``, which is vLLM, with its token."""

from __future__ import annotations

from workshop.targets.base import Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, overlay, vllm

NAME = "embedder"


def plan(part: Part, api: Api) -> Plan:
    """A Deployment and its Service, with a key."""
    built = objects.build(objects.MANIFESTS / part.name / overlay(api))
    return vllm.deployed(built, part, NAME)
