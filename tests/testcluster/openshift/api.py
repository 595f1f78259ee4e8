"""The API server as the operators' process asks it: a few verbs, and plain dictionaries."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import httpx

Object = dict[str, Any]

_GROUPS = {
    "api/v1": ("Namespace", "Service", "ConfigMap", "Secret", "Node", "ServiceAccount", "Pod"),
    "apis/apps/v1": ("Deployment",),
    "apis/networking.k8s.io/v1": ("NetworkPolicy", "Ingress"),
    "apis/rbac.authorization.k8s.io/v1": ("Role", "RoleBinding", "ClusterRole"),
    "apis/discovery.k8s.io/v1": ("EndpointSlice",),
    "apis/authorization.k8s.io/v1": ("SubjectAccessReview",),
    "apis/coordination.k8s.io/v1": ("Lease",),
    "apis/route.openshift.io/v1": ("Route",),
    "apis/machine.openshift.io/v1beta1": ("Machine", "MachineSet"),
    "apis/serving.kserve.io/v1beta1": ("InferenceService",),
    "apis/operators.coreos.com/v1alpha1": ("Subscription", "InstallPlan"),
    "apis/nfd.openshift.io/v1": (),
    "apis/llamastack.io/v1alpha1": ("LlamaStackDistribution",),
    "apis/ogx.io/v1beta1": ("OGXServer",),
    "apis/monitoring.coreos.com/v1": ("ServiceMonitor",),
}
_PLURALS = {kind: (group, f"{kind.lower()}s") for group, kinds in _GROUPS.items() for kind in kinds}
_PLURALS |= {
    "PersistentVolumeClaim": ("api/v1", "persistentvolumeclaims"),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies"),
    "Ingress": ("apis/networking.k8s.io/v1", "ingresses"),
    "ClusterRoleBinding": ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
    "ClusterServiceVersion": ("apis/operators.coreos.com/v1alpha1", "clusterserviceversions"),
    "PackageManifest": ("apis/packages.operators.coreos.com/v1", "packagemanifests"),
    "ClusterPolicy": ("apis/nvidia.com/v1", "clusterpolicies"),
    "NodeFeatureDiscovery": ("apis/nfd.openshift.io/v1", "nodefeaturediscoveries"),
    "SecurityContextConstraints": (
        "apis/security.openshift.io/v1",
        "securitycontextconstraints",
    ),
    "MutatingWebhookConfiguration": (
        "apis/admissionregistration.k8s.io/v1",
        "mutatingwebhookconfigurations",
    ),
}


class Api:
    """The API server, with a kubeconfig's client certificate."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        context.load_cert_chain(user["client-certificate"], user["client-key"])
        self.http = httpx.Client(base_url=cluster["server"], verify=context, timeout=10)

    def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """The object, or None."""
        answer = self.http.get(_path(kind, namespace, name))
        return None if answer.status_code == 404 else _object(answer)

    def list(self, kind: str, namespace: str | None = None, labels: str = "") -> list[Object]:
        """All of a kind; none where the kind is not served."""
        answer = self.http.get(_path(kind, namespace), params={"labelSelector": labels})
        return [] if answer.status_code == 404 else list(_object(answer)["items"])

    def apply(self, wanted: Object, owner: Object | None = None) -> Object:
        """Make the object what it shall be, server-side; it goes with its owner."""
        meta = wanted["metadata"]
        if owner:
            meta = meta | {"ownerReferences": [owned_by(owner)]}
        return _object(
            self.http.patch(
                _path(wanted["kind"], meta.get("namespace"), meta["name"]),
                content=json.dumps(wanted | {"metadata": meta}),
                params={"fieldManager": "openshift", "force": "true"},
                headers={"content-type": "application/apply-patch+yaml"},
            )
        )

    def create(self, wanted: Object) -> Object:
        """Make the object, which must not be there yet."""
        meta = wanted["metadata"]
        return _object(self.http.post(_path(wanted["kind"], meta.get("namespace")), json=wanted))

    def patch(self, kind: str, namespace: str | None, name: str, change: Object) -> Object:
        """Merge a change into the object."""
        return self._merge(_path(kind, namespace, name), change)

    def status(self, kind: str, namespace: str | None, name: str, status: Object) -> Object:
        """Merge a status into the object's; None takes a field away."""
        return self._merge(f"{_path(kind, namespace, name)}/status", {"status": status})

    def delete(self, kind: str, namespace: str | None, name: str) -> None:
        """Take the object away, if it is there."""
        answer = self.http.delete(_path(kind, namespace, name))
        if answer.status_code != 404:
            _object(answer)

    def may(self, user: str, groups: list[str], **attributes: str) -> bool:
        """Whether somebody may do something."""
        spec = {"user": user, "groups": groups, "resourceAttributes": attributes}
        kind = "SubjectAccessReview"
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        return bool(_object(self.http.post(_path(kind), json=review))["status"]["allowed"])

    def _merge(self, path: str, change: Object) -> Object:
        headers = {"content-type": "application/merge-patch+json"}
        return _object(self.http.patch(path, content=json.dumps(change), headers=headers))


def owned_by(owner: Object) -> Object:
    """The reference with which an object goes when its owner goes."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _path(kind: str, namespace: str | None = None, name: str = "") -> str:
    group, plural = _PLURALS[kind]
    where = f"/namespaces/{namespace}" if namespace else ""
    return f"/{group}{where}/{plural}" + (f"/{name}" if name else "")


def _object(answer: httpx.Response) -> Object:
    if answer.is_error:
        raise RuntimeError(
            f"{answer.request.method} {answer.request.url.path}: {answer.status_code} "
            f"{answer.text[:500]}"
        )
    found: Object = answer.json()
    # Items of a list name no kind, but owners are referred to by it.
    for item in found.get("items", ()) if found.get("kind", "").endswith("List") else ():
        item.setdefault("kind", found["kind"].removesuffix("List"))
        item.setdefault("apiVersion", found["apiVersion"])
    return found
