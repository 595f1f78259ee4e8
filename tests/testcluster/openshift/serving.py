"""What Red Hat adds to KServe: token authentication, Routes, certificates, metrics.

KServe's own controller would undo what is added to its objects behind it. So the additions are
made on admission: each of its updates gets them again, nothing differs in the end, and it rests.
"""

from __future__ import annotations

import json

from testcluster.openshift.api import Api, Object
from testcluster.openshift.certificates import ASKS
from testcluster.openshift.names import APPLICATIONS, APPS, PROXY_IMAGE

LABEL = "serving.kserve.io/inferenceservice"
AUTH = "security.opendatahub.io/enable-auth"
VISIBLE = "networking.kserve.io/visibility"
TIMEOUT = "haproxy.router.openshift.io/timeout"
SCRAPE = "monitoring.opendatahub.io/scrape"
PROXY = "kube-rbac-proxy"
HTTPS, PROBED, MODEL = 8443, 8643, 8080


def wants_token(one: Object) -> bool:
    """Whether an object of KServe's, or the InferenceService itself, is behind the proxy."""
    return str(one["metadata"].get("annotations", {}).get(AUTH, "")).lower() == "true"


class Serving:
    """The hooks, and what is made beside KServe's objects."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def deployment(self, one: Object, request: Object) -> None:
        """The predictor gets the proxy as a second container, and no token without it."""
        template = one["spec"]["template"]
        if template["metadata"].get("labels", {}).get("component") != "predictor":
            return
        spec = template["spec"]
        if not wants_token(one):
            spec["automountServiceAccountToken"] = False
            return
        name = one["metadata"]["labels"][LABEL]
        namespace = request["namespace"]
        spec.pop("automountServiceAccountToken", None)
        secret = f"{one['metadata']['name']}-serving-cert"
        volumes = [v for v in spec.get("volumes") or [] if v["name"] != "proxy-tls"]
        mode = {"secretName": secret, "defaultMode": 420}
        spec["volumes"] = [*volumes, {"name": "proxy-tls", "secret": mode}]
        others = [c for c in spec["containers"] if c["name"] != PROXY]
        spec["containers"] = [*others, _proxy(name, namespace, _port(others))]

    def service(self, one: Object, _request: Object) -> None:
        """The predictor's Service has a certificate and, behind the proxy, its port."""
        meta, spec = one["metadata"], one["spec"]
        if meta["labels"].get("component") != "predictor" or meta["name"].endswith("-metrics"):
            return
        meta.setdefault("annotations", {})[ASKS] = f"{meta['name']}-serving-cert"
        if wants_token(one):
            port = {"name": "https", "port": HTTPS, "targetPort": "https", "protocol": "TCP"}
            spec["ports"] = [port]
        elif spec.get("ports"):
            spec["ports"][0]["name"] = "http"

    def status(self, one: Object, request: Object) -> None:
        """The model's addresses, as they are with the proxy, without a cluster IP, or exposed."""
        status = one.get("status") or {}
        if not status.get("address"):
            return
        name, namespace = one["metadata"]["name"], request["namespace"]
        host = f"{name}-predictor.{namespace}.svc.cluster.local"
        if wants_token(one):
            url = f"https://{host}:{HTTPS}"
        elif self._headless():
            url = f"http://{host}:{MODEL}"
        else:
            url = f"http://{host}"
        status["address"] = {"url": url}
        exposed = one["metadata"].get("labels", {}).get(VISIBLE) == "exposed"
        status["url"] = f"https://{name}-{namespace}.{APPS}" if exposed else url

    def reconcile(self) -> None:
        """Make what stands beside KServe's own objects."""
        for one in self.api.list("InferenceService"):
            if wants_token(one):
                self._let_proxy_ask(one)
            self._metrics(one)
            self._route(one)

    def _headless(self) -> bool:
        found = self.api.get("ConfigMap", APPLICATIONS, "inferenceservice-config")
        return bool(json.loads((found or {})["data"]["service"])["serviceClusterIPNone"])

    def _let_proxy_ask(self, one: Object) -> None:
        namespace = one["metadata"]["namespace"]
        account = one["spec"]["predictor"].get("serviceAccountName", "default")
        rbac = "rbac.authorization.k8s.io"
        name = f"{namespace}-{account}-auth-delegator"
        if self.api.get("ClusterRoleBinding", None, name):
            return
        self.api.apply(
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name},
                "roleRef": {
                    "apiGroup": rbac,
                    "kind": "ClusterRole",
                    "name": "system:auth-delegator",
                },
                "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
            }
        )

    def _metrics(self, one: Object) -> None:
        meta = {
            "name": f"{one['metadata']['name']}-metrics",
            "namespace": one["metadata"]["namespace"],
        }
        if self.api.get("ServiceMonitor", meta["namespace"], meta["name"]):
            return
        labels = {"name": meta["name"]}
        pods = {LABEL: one["metadata"]["name"]}
        port = {"name": meta["name"], "port": MODEL, "targetPort": MODEL, "protocol": "TCP"}
        self.api.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": meta | {"labels": labels},
                "spec": {"selector": pods, "ports": [port]},
            },
            one,
        )
        self.api.apply(
            {
                "apiVersion": "monitoring.coreos.com/v1",
                "kind": "ServiceMonitor",
                "metadata": meta | {"labels": {SCRAPE: "true"}},
                "spec": {
                    "endpoints": [{"port": meta["name"], "scheme": "http", "path": "/metrics"}],
                    "selector": {"matchLabels": labels},
                },
            },
            one,
        )

    def _route(self, one: Object) -> None:
        meta = one["metadata"]
        namespace, name = meta["namespace"], meta["name"]
        exposed = meta.get("labels", {}).get(VISIBLE) == "exposed"
        there = self.api.get("Route", namespace, name)
        if not exposed:
            owners = there["metadata"].get("ownerReferences", []) if there else []
            if any(owner["uid"] == meta["uid"] for owner in owners):
                self.api.delete("Route", namespace, name)
            return
        seconds = one["spec"]["predictor"].get("timeoutSeconds", 30)
        behind = wants_token(one)
        self.api.apply(
            {
                "apiVersion": "route.openshift.io/v1",
                "kind": "Route",
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "labels": {"inferenceservice-name": name},
                    "annotations": {
                        TIMEOUT: meta.get("annotations", {}).get(TIMEOUT, f"{seconds}s")
                    },
                },
                "spec": {
                    "to": {"kind": "Service", "name": f"{name}-predictor", "weight": 100},
                    "port": {"targetPort": "https" if behind else "http"},
                    "tls": {
                        "termination": "reencrypt" if behind else "edge",
                        "insecureEdgeTerminationPolicy": "Redirect",
                    },
                },
            },
            one,
        )


def _port(containers: list[Object]) -> int:
    for container in containers:
        if container["name"] == "kserve-container" and container.get("ports"):
            return int(container["ports"][0]["containerPort"])
    return MODEL


def _proxy(name: str, namespace: str, port: int) -> Object:
    """The proxy's container, every field given: KServe compares with what is stored."""
    probe = {
        "httpGet": {"path": "/healthz", "port": PROBED, "scheme": "HTTPS"},
        # Not 1: beside a model that uses every core, a proxy that is late for that would leave the
        # Service, whose name then does not resolve, in the middle of an answer.
        "timeoutSeconds": 10,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    return {
        "name": PROXY,
        "image": PROXY_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            f"--secure-listen-address=0.0.0.0:{HTTPS}",
            f"--proxy-endpoints-port={PROBED}",
            f"--upstream=http://localhost:{port}",
            "--tls-cert-file=/etc/tls/private/tls.crt",
            "--tls-private-key-file=/etc/tls/private/tls.key",
            f"--namespace={namespace}",
            f"--name={name}",
        ],
        "ports": [{"name": "https", "containerPort": HTTPS, "protocol": "TCP"}],
        "readinessProbe": probe,
        "resources": {
            "requests": {"cpu": "100m", "memory": "64Mi"},
            "limits": {"cpu": "200m", "memory": "128Mi"},
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": "proxy-tls", "mountPath": "/etc/tls/private", "readOnly": True}],
    }
