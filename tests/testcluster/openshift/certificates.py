"""The service CA: it signs for Services that ask for it, and every namespace knows it."""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from testcluster.openshift.api import Api, Object
from testcluster.pki import Authority, private

ASKS = "service.beta.openshift.io/serving-cert-secret-name"
SIGNED = "service.beta.openshift.io/serving-cert-signed-by"
BUNDLE = "openshift-service-ca.crt"


def kept(folder: Path, common: str) -> Authority:
    """An authority whose key stays the same when its process is started again."""
    file = folder / "ca.key"
    if file.exists():
        key = serialization.load_pem_private_key(file.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return Authority(folder, common, key)
    authority = Authority(folder, common)
    pem = authority.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    private(file, pem)
    return authority


class Certificates:
    """Signs, and spreads the bundle."""

    def __init__(self, api: Api, folder: Path) -> None:
        self.api = api
        self.authority = kept(folder / "service-ca", "openshift-service-serving-signer")
        self.bundle = self.authority.file.read_text()
        self.spread: set[str] = set()

    def reconcile(self) -> None:
        """Do what is missing."""
        namespaces = {one["metadata"]["name"] for one in self.api.list("Namespace")}
        self.spread &= namespaces
        for name in sorted(namespaces - self.spread):
            self.api.apply(config_map(name, BUNDLE, {"service-ca.crt": self.bundle}))
            self.spread.add(name)
        for service in self.api.list("Service"):
            wanted = service["metadata"].get("annotations", {}).get(ASKS)
            if wanted:
                self._sign(service, wanted)

    def _sign(self, service: Object, name: str) -> None:
        meta = service["metadata"]
        found = self.api.get("Secret", meta["namespace"], name)
        if found and found["metadata"].get("annotations", {}).get(SIGNED):
            return
        host = f"{meta['name']}.{meta['namespace']}.svc"
        certificate, key = self.authority.sign(
            meta["uid"], host, hosts=(host, f"{host}.cluster.local")
        )
        data = {"tls.crt": certificate.read_bytes(), "tls.key": key.read_bytes()}
        self.api.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": name,
                    "namespace": meta["namespace"],
                    "annotations": {SIGNED: self.authority.common},
                },
                "type": "kubernetes.io/tls",
                "data": {k: base64.b64encode(v).decode() for k, v in data.items()},
            },
            service,
        )


def config_map(namespace: str, name: str, data: dict[str, str]) -> Object:
    """A ConfigMap."""
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
