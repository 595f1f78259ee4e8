"""The embedder on a cluster: ``manifests/embedder``, which is vLLM, with its token."""

from __future__ import annotations

from workshop.targets.base import Part
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, built
from workshop.targets.cluster.manifests.model import deployed


def plan(part: Part, api: Api) -> Plan:
    """A Deployment and its Service, with a key."""
    return deployed(built(part, api), part, part.name)
