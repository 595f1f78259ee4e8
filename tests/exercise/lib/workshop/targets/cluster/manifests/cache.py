"""The cache on a cluster: a Deployment, its Service, and the Secret with its password."""

from __future__ import annotations

from workshop.targets.base import Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.manifests import Plan, is_openshift

NAME = "cache"
IMAGE = "registry.test/memcached-standin:1"


def plan(part: Part, api: Api) -> Plan:
    """All of it; the parts of the kit have theirs as YAML in ``manifests``."""
    user = str(part.settings["user"])
    labels = objects.labels(part.name) | {"app": NAME}
    meta = {"name": NAME, "labels": labels}
    ports = {"memcached": part.port, **part.extra_ports}
    variables = {"MEMCACHED_USER": "username", "MEMCACHED_PASSWORD": "password"}
    container = {
        "name": NAME,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--listen=0.0.0.0"],
        "env": [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": NAME, "key": key}}}
            for name, key in variables.items()
        ],
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "readinessProbe": {"tcpSocket": {"port": part.port}, "periodSeconds": 1},
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"cpu": "500m", "memory": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": security if is_openshift(api) else security | {"runAsUser": 65532},
        "containers": [container],
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": NAME}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {
            "selector": {"app": NAME},
            "ports": [{"name": name, "port": port} for name, port in ports.items()],
        },
    }
    content = {"username": user, "password": part.secrets["password"].reveal()}
    built = [deployment, service, objects.secret(NAME, part.name, content)]
    digest = objects.digest(built)
    objects.mark(deployment, digest)
    return Plan(
        built,
        digest,
        deployment=NAME,
        pods={"app": NAME},
        service=NAME,
        port=part.port,
        scheme="memcached",
        also=part.extra_ports,
        user=user,
        keeps=("each replica would hold other keys",),
    )
