"""The collector on a cluster: ``manifests/collector``."""

from __future__ import annotations

from workshop.targets.base import Part
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, as_it_is, built


def plan(part: Part, api: Api) -> Plan:
    """A Deployment with the script, and its Service."""
    return as_it_is(built(part, api), part)
