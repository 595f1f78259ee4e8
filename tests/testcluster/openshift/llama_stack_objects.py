"""The objects of one Llama Stack or OGX server, by the names that both operators give them."""

from __future__ import annotations

import hashlib
from typing import Any

from testcluster.openshift.api import Object
from testcluster.openshift.llama_stack_wanted import Failed, Wanted
from testcluster.openshift.names import APPLICATIONS

BUNDLE = "/etc/ssl/certs/ca-bundle/ca-bundle.crt"
"""Where the authorities that it shall trust are mounted."""

GROUP = 1001
"""The pod's fsGroup: outside every namespace's range, hence the binding to anyuid."""

STARTUP = {"initialDelaySeconds": 15, "timeoutSeconds": 30, "failureThreshold": 3}
"""Of the startup probe, every ten seconds. No field of the custom resource changes it."""

Contents = dict[str, dict[str, str]]


def objects(need: Wanted, contents: Contents) -> list[Object]:
    """All of them, in the operators' order: the account's rights come after the first pod.

    Args:
        need: What is wanted.
        contents: Of each ConfigMap that is referred to.

    Raises:
        Failed: A ConfigMap lacks the key.
    """
    found = [_account(need)]
    bundle = _bundle(need, contents)
    if bundle:
        meta = _meta(need, "ca-bundle")
        data = {"ca-bundle.crt": bundle}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
    if need.storage is not None:
        found.append(_claim(need))
    hashes = [bundle]
    if need.config:
        name, key = need.config
        if key not in contents[name]:
            raise Failed(f"ConfigMap {need.namespace}/{name} has no key {key!r}")
        hashes.append(contents[name][key])
    digest = hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16]
    found += [_deployment(need, digest, trusts=bool(bundle)), _service(need)]
    if need.policy:
        found.append(_policy(need))
    if need.exposed:
        found.append(_ingress(need))
    return [*found, _binding(need)]


def _labels(need: Wanted) -> dict[str, str]:
    return {"app": need.generation.app, "app.kubernetes.io/instance": need.name}


def _meta(need: Wanted, suffix: str = "") -> Object:
    labels = _labels(need) | {
        "app.kubernetes.io/managed-by": f"{need.generation.app}-operator",
        "app.kubernetes.io/part-of": need.generation.app,
    }
    name = f"{need.name}-{suffix}" if suffix else need.name
    return {"name": name, "namespace": need.namespace, "labels": labels}


def _account(need: Wanted) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(need, "sa")}


def _binding(need: Wanted) -> Object:
    rbac = "rbac.authorization.k8s.io"
    role = "system:openshift:scc:anyuid"
    return {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        "metadata": _meta(need, "rb"),
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
        "subjects": [
            {"kind": "ServiceAccount", "name": f"{need.name}-sa", "namespace": need.namespace}
        ],
    }


def _bundle(need: Wanted, contents: Contents) -> str:
    parts = []
    for name, key in need.authorities:
        if key not in contents[name]:
            raise Failed(f"failed to find CA bundle key {key!r} in ConfigMap {name}")
        if "BEGIN CERTIFICATE" not in contents[name][key]:
            raise Failed(f"failed to find valid certificates in ConfigMap {name} key {key}")
        parts.append(contents[name][key].strip() + "\n")
    return "".join(parts)


def _claim(need: Wanted) -> Object:
    size = (need.storage or {}).get("size") or "10Gi"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _meta(need, "pvc"),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": str(size)}},
        },
    }


def _env(need: Wanted, *, trusts: bool) -> list[Any]:
    """What the operator sets; a variable that the custom resource names too is the latter's."""
    prefix = need.generation.prefix
    own = {"HF_HOME": need.home, f"{prefix}_PORT": str(need.port)}
    if need.generation.metrics:
        own |= {"OGX_METRICS_ENDPOINT_ENABLED": "true", "OGX_METRICS_HOST": "0.0.0.0"}  # noqa: S104
    if need.workers:
        own[f"{prefix}_WORKERS"] = str(need.workers)
    if need.config:
        own[need.generation.config_variable] = f"{need.generation.config}config.yaml"
    if trusts:
        own["SSL_CERT_FILE"] = BUNDLE
    named = {variable["name"] for variable in need.env}
    mine = [{"name": name, "value": value} for name, value in own.items() if name not in named]
    return [*mine, *need.env]


def _deployment(need: Wanted, digest: str, *, trusts: bool) -> Object:
    claim = {"persistentVolumeClaim": {"claimName": f"{need.name}-pvc"}}
    data = {"emptyDir": {}} if need.storage is None else claim
    volumes: list[Any] = [{"name": "lls-storage", **data}]
    mounts: list[Any] = [{"name": "lls-storage", "mountPath": need.home}]
    if need.config:
        name, key = need.config
        items = [{"key": key, "path": "config.yaml"}]
        volumes.append({"name": "user-config", "configMap": {"name": name, "items": items}})
        mounts.append(
            {"name": "user-config", "mountPath": need.generation.config, "readOnly": True}
        )
    if trusts:
        volumes.append({"name": "ca-bundle", "configMap": {"name": f"{need.name}-ca-bundle"}})
        folder = BUNDLE.rsplit("/", 1)[0]
        mounts.append({"name": "ca-bundle", "mountPath": folder, "readOnly": True})
    container = {
        "name": need.container,
        "image": need.image,
        "ports": [{"containerPort": need.port, "protocol": "TCP"}],
        "env": _env(need, trusts=trusts),
        "resources": need.resources,
        "command": need.command,
        "args": need.args,
        "volumeMounts": [*mounts, *need.mounts],
        "startupProbe": {"httpGet": {"path": "/v1/health", "port": need.port}, **STARTUP},
    }
    if not need.resources and need.workers:
        container["resources"] = {"requests": {"cpu": str(need.workers)}}
    pod: Object = {
        "serviceAccountName": need.account or f"{need.name}-sa",
        "securityContext": {"fsGroup": GROUP},
        "containers": [{key: value for key, value in container.items() if value not in ([], {})}],
        "volumes": [*volumes, *need.volumes],
    }
    if need.grace is not None:
        pod["terminationGracePeriodSeconds"] = need.grace
    marks = {f"configmap.hash/{need.generation.app}": digest}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(need),
        "spec": {
            "replicas": need.replicas,
            "selector": {"matchLabels": _labels(need)},
            "template": {
                "metadata": {"labels": _labels(need), "annotations": marks},
                "spec": pod,
            },
        },
    }


def _service(need: Wanted) -> Object:
    numbers = {"http": need.port} | need.generation.metrics
    ports = [
        {"name": name, "port": port, "targetPort": port, "protocol": "TCP"}
        for name, port in numbers.items()
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(need, "service"),
        "spec": {"type": "ClusterIP", "selector": _labels(need), "ports": ports},
    }


def _policy(need: Wanted) -> Object:
    """Its own namespace and the operator's may call it, and those that are named."""
    name = "kubernetes.io/metadata.name"
    peers: list[Any] = [{"podSelector": {}}]
    if "*" in need.from_namespaces:
        peers = [{"namespaceSelector": {}}]
    else:
        peers += [
            {"namespaceSelector": {"matchLabels": {name: one}}}
            for one in (APPLICATIONS, *need.from_namespaces)
        ]
    if need.exposed:
        router = {"network.openshift.io/policy-group": "ingress"}
        peers.append({"namespaceSelector": {"matchLabels": router}})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _meta(need, "network-policy"),
        "spec": {
            "podSelector": {"matchLabels": _labels(need)},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": peers, "ports": [{"port": need.port, "protocol": "TCP"}]}],
        },
    }


def _ingress(need: Wanted) -> Object:
    backend = {"service": {"name": f"{need.name}-service", "port": {"number": need.port}}}
    rule: Object = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    if need.hostname:
        rule["host"] = need.hostname
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": _meta(need, "ingress"),
        "spec": {"rules": [rule]},
    }
