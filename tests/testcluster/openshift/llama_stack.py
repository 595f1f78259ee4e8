"""The Llama Stack operator, and its successor for OGX: what they make of their custom resource.

Both make the same objects with the same names; ``wanted`` reads both kinds into one description.
"""

from __future__ import annotations

import datetime
import logging
import time
from dataclasses import dataclass
from typing import Any

import httpx

from testcluster.openshift.api import Api, Object
from testcluster.openshift.llama_stack_objects import objects
from testcluster.openshift.llama_stack_wanted import (
    GENERATIONS,
    Failed,
    Wanted,
    referenced,
    wanted,
)
from testcluster.openshift.names import DISTRIBUTION

LOG = logging.getLogger(__name__)
LONGEST = 1000.0  # Seconds between two tries.


@dataclass(frozen=True)
class Failing:
    """One that failed, and is tried again after ``pause`` seconds, or when it was touched."""

    touched: object = None
    pause: float = 0.5
    until: float = 0.0


class LlamaStack:
    """One controller for both kinds; a cluster has one of them."""

    def __init__(self, api: Api, distribution: str = DISTRIBUTION) -> None:
        self.api = api
        self.distribution = distribution
        self.told: dict[tuple[str, int], Object] = {}
        self.failing: dict[str, Failing] = {}

    def reconcile(self) -> None:
        """Look at every custom resource."""
        for kind in GENERATIONS:
            for one in self.api.list(kind):
                if not one["metadata"].get("deletionTimestamp"):
                    self._one(one)

    def _one(self, one: Object) -> None:
        meta = one["metadata"]
        failing = self.failing.get(meta["uid"], Failing())
        touched = (meta["generation"], meta.get("annotations"))
        if touched == failing.touched and time.monotonic() < failing.until:
            return
        try:
            need = wanted(one, self.distribution)
            contents = self._referenced(one)
            is_new = self.api.get("Deployment", need.namespace, need.name) is None
            for made in objects(need, contents):
                # The rights come with the next look: the first pod is refused without them.
                if not is_new or made["kind"] != "RoleBinding":
                    self._apply(made, one)
            status = self._status(need, one)
            self.failing.pop(meta["uid"], None)
        except Failed as failed:
            pause = min(2 * failing.pause, LONGEST)
            until = time.monotonic() + pause
            self.failing[meta["uid"]] = Failing(touched, pause, until)
            message = f"Resource reconciliation failed: {failed}"
            status = {
                "phase": "Failed",
                "conditions": [condition("DeploymentReady", False, "DeploymentFailed", message)],
            }
        status["conditions"] = merged(one, status["conditions"])
        before = one.get("status") or {}
        if any(before.get(key) != value for key, value in status.items()):
            version = status.get("version") or dict(before.get("version") or {})
            status["version"] = version | {
                "operatorVersion": GENERATIONS[one["kind"]].operator,
                "lastUpdated": now(),
            }
            self.api.status(one["kind"], meta["namespace"], meta["name"], status)

    def _apply(self, made: Object, one: Object) -> None:
        """Make it, unless it is there and cannot be changed. OGX's volume belongs to nobody."""
        meta = made["metadata"]
        claims = made["kind"] == "PersistentVolumeClaim"
        if claims and self.api.get(made["kind"], meta["namespace"], meta["name"]):
            return
        self.api.apply(made, None if claims and one["kind"] == "OGXServer" else one)

    def _referenced(self, one: Object) -> dict[str, dict[str, str]]:
        """The contents of the ConfigMaps that it refers to, by name; all must be there."""
        generation = GENERATIONS[one["kind"]]
        contents: dict[str, dict[str, str]] = {}
        for kind, namespace, name in referenced(one):
            found = self.api.get(kind, namespace, name)
            labels = found["metadata"].get("labels", {}) if found else {}
            # The newer operator does not even see what is not labelled for it.
            hidden = generation.watches and labels.get(generation.watches) != "true"
            if found is None or hidden:
                raise Failed(
                    f"failed to get referenced {kind} {namespace}/{name}: "
                    f'{kind.lower()}s "{name}" not found'
                )
            if kind == "ConfigMap":
                contents[name] = found.get("data", {})
        return contents

    def _status(self, need: Wanted, one: Object) -> Object:
        # It can be gone again already: somebody deleted the custom resource, or it, a moment ago.
        deployment = self.api.get("Deployment", need.namespace, need.name) or {}
        seen = deployment.get("status", {})
        generation = deployment.get("metadata", {}).get("generation")
        fresh = generation is not None and seen.get("observedGeneration") == generation
        ready = int(seen.get("readyReplicas", 0)) if fresh else 0
        done = fresh and ready == need.replicas and seen.get("updatedReplicas", 0) == ready
        phase = "Ready" if ready and done else "Initializing" if fresh else "Pending"
        conditions = [
            condition(
                "DeploymentReady",
                phase == "Ready",
                "DeploymentReady" if phase == "Ready" else "DeploymentPending",
                "Deployment is ready"
                if phase == "Ready"
                else f"Deployment is not ready: {ready}/{need.replicas} replicas ready",
            )
        ]
        if need.storage:
            claim = self.api.get("PersistentVolumeClaim", need.namespace, f"{need.name}-pvc")
            bound = bool(claim) and claim["status"].get("phase") == "Bound"
            conditions.append(
                condition(
                    "StorageReady",
                    bound,
                    "StorageReady" if bound else "StoragePending",
                    "Storage is ready" if bound else "Persistent volume claim is not bound",
                )
            )
        conditions.append(condition("ServiceReady", True, "ServiceReady", "Service is ready"))
        told = self._told(need, deployment) if phase == "Ready" else {}
        healthy = bool(told)
        conditions.append(
            condition(
                "HealthCheck",
                healthy,
                "HealthCheckPassed" if healthy else "HealthCheckFailed",
                "Health check passed" if healthy else "Waiting for the server",
            )
        )
        status: Object = {
            "phase": phase,
            "conditions": conditions,
            "availableReplicas": int(seen.get("availableReplicas", 0)),
            "serviceURL": need.url,
            "distributionConfig": {
                "activeDistribution": need.distribution,
                "availableDistributions": {self.distribution: need.generation.image},
                "providers": told.get("providers", []),
            },
        }
        if told.get("version"):
            before = (one.get("status") or {}).get("version") or {}
            status["version"] = before | {need.generation.server_version: told["version"]}
        if need.exposed and need.hostname:
            status[need.generation.external] = f"http://{need.hostname}"
        if one["kind"] == "OGXServer":
            source = "override" if need.config else "default"
            status["resolvedDistribution"] = {"image": need.image, "configSource": source}
        return status

    def _told(self, need: Wanted, deployment: Object) -> Object:
        """What the server says of itself; asked once a generation, and it may say nothing."""
        key = (deployment["metadata"]["uid"], deployment["metadata"]["generation"])
        if key in self.told:
            return self.told[key]
        service = self.api.get("Service", need.namespace, f"{need.name}-service") or {}
        found: Object = {}
        try:
            url = f"http://{service['spec']['clusterIP']}:{need.port}/v1"
            version = httpx.get(f"{url}/version", timeout=2).raise_for_status().json()
            found = {"version": version["version"], "providers": []}
            for provider in httpx.get(f"{url}/providers", timeout=2).json()["data"]:
                health = provider.get("health") or {}
                found["providers"].append(
                    {
                        **{key: provider[key] for key in ("api", "provider_id", "provider_type")},
                        "config": {},
                        "health": {
                            "status": str(health.get("status", "")),
                            "message": str(health.get("message", "")),
                        },
                    }
                )
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            LOG.info("%s/%s did not say what it is: %s", need.namespace, need.name, error)
        if found:
            self.told[key] = found
        return found


def condition(kind: str, true: bool, reason: str, message: str) -> Object:
    """A condition, before its time is known."""
    status = "True" if true else "False"
    return {"type": kind, "status": status, "reason": reason, "message": message}


def merged(one: Object, found: list[Any]) -> list[Any]:
    """The conditions, each with the time since when it has been so; those not looked at stay."""
    before = {c["type"]: c for c in (one.get("status") or {}).get("conditions", [])}
    for new in found:
        old = before.get(new["type"], {})
        same = old.get("status") == new["status"]
        new["lastTransitionTime"] = old["lastTransitionTime"] if same else now()
        before[new["type"]] = new
    return list(before.values())


def now() -> str:
    """The time, as Kubernetes writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
