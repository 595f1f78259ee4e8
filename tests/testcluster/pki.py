"""The test cluster's certificates and kubeconfigs, made anew at each start."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def private(path: Path, content: bytes) -> Path:
    """Write a file that only this user reads."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    return path


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@dataclass
class Authority:
    """One certificate authority, and what it signs, as files of a folder."""

    folder: Path
    common: str = "test cluster"
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.common)])
        certificate = (
            self._builder(self.name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file = private(
            self.folder / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM)
        )

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + 30 * DAY)
        )

    def sign(
        self, label: str, common: str, *, group: str = "", hosts: tuple[str, ...] = ()
    ) -> tuple[Path, Path]:
        """A certificate and its key, for a client and, with ``hosts``, for a server."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
        if group:
            names.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = self._builder(x509.Name(names), key.public_key())
        if hosts:
            uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(
                x509.SubjectAlternativeName(_alternatives(hosts)), False
            )
        certificate = builder.add_extension(x509.ExtendedKeyUsage(uses), False).sign(
            self.key, hashes.SHA256()
        )
        return (
            private(
                self.folder / f"{label}.crt", certificate.public_bytes(serialization.Encoding.PEM)
            ),
            private(self.folder / f"{label}.key", _pem(key)),
        )

    def signing_key(self) -> tuple[Path, Path]:
        """The key pair of service accounts' tokens."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return (
            private(self.folder / "accounts.pub", public),
            private(self.folder / "accounts.key", _pem(key)),
        )

    def kubeconfig(self, label: str, server: str, common: str, group: str = "") -> Path:
        """A kubeconfig (JSON is YAML) with a client certificate of its own."""
        certificate, key = self.sign(label, common, group=group)
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": server, "certificate-authority": str(self.file)},
                }
            ],
            "users": [
                {
                    "name": label,
                    "user": {"client-certificate": str(certificate), "client-key": str(key)},
                }
            ],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": label}}],
        }
        text = json.dumps(content, indent=2)
        return private(self.folder / f"{label}.kubeconfig", text.encode())


def _alternatives(hosts: tuple[str, ...]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for host in hosts:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            found.append(x509.DNSName(host))
    return found
