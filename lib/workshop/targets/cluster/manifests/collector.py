"""The collector on a cluster: ``manifests/collector``, as it is."""

from __future__ import annotations

from workshop.targets.base import Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, overlay

NAME = "collector"


def plan(part: Part, api: Api) -> Plan:
    """A Deployment with the script, and its Service."""
    built = objects.build(objects.MANIFESTS / part.name / overlay(api))
    digest = objects.digest(built)
    objects.mark(objects.one(built, "Deployment"), digest)
    return Plan(built, digest, deployment=NAME, pods={"app": NAME}, service=NAME, port=part.port)
