"""The embedder on a cluster: ``manifests/embedder``, which is vLLM, with its token."""

from __future__ import annotations

from workshop.targets.base import Part
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, as_it_is, built


def plan(part: Part, api: Api) -> Plan:
    """A Deployment and its Service, with a key."""
    texts = {"token": part.secrets["token"].reveal()}
    return as_it_is(built(part, api), part, texts=texts)
