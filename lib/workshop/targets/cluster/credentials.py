"""What is sent to the API server to log in, and the plugins that give it out.

The protocol of plugins: https://kubernetes.io/docs/reference/access-authn-authz/authentication/,
"client-go credential plugins". Nothing that a plugin writes to its output is shown.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from workshop.core.errors import SettingsError

PATIENCE = 60.0  # Seconds for a plugin: it may ask a server for a token.
EARLY = timedelta(minutes=1)  # How long before its end a token is asked for anew.
TOLD = ("server", "tls-server-name", "certificate-authority-data", "proxy-url")
"""What a plugin is told of the cluster where ``provideClusterInfo`` is set."""


@dataclass(frozen=True)
class Credential:
    """What to log in with, shown in no repr: a header's value, or a certificate and key as PEM."""

    authorization: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)


class Plugin:
    """The program that an ``exec`` section names; ``where`` is its kubeconfig, for errors."""

    def __init__(self, section: Mapping[str, Any], cluster: Mapping[str, Any], where: str) -> None:
        self._section = section
        self._cluster = cluster
        self._where = where
        self._kept = Credential()
        self._until: datetime | None = datetime.min.replace(tzinfo=UTC)

    def ask(self) -> Credential:
        """What it gives; kept for as long as it says that it is valid.

        Raises:
            SettingsError: It is not there, wants a terminal, fails, or gives nothing to use.
        """
        if self._until is None or datetime.now(UTC) + EARLY < self._until:
            return self._kept
        status = self._run()
        certificate, key = (str(status.get(f"client{part}Data") or "")
                            for part in ("Certificate", "Key"))  # fmt: skip
        token = str(status.get("token") or "")
        if not token and not (certificate and key):
            raise self._failed("it gave neither a token nor a certificate with its key")
        ends = status.get("expirationTimestamp")
        try:
            self._until = datetime.fromisoformat(str(ends)) if ends else None
        except ValueError:
            raise self._failed("its expirationTimestamp is no time") from None
        self._kept = Credential(f"Bearer {token}" if token else "", certificate, key)
        return self._kept

    def _run(self) -> Mapping[str, Any]:
        section = self._section
        if section.get("interactiveMode") == "Always":
            raise self._failed(
                "interactiveMode Always is not supported: a notebook has no terminal",
                "log in by that plugin in a terminal, and use a plugin that keeps its login",
            )
        version = str(section.get("apiVersion"))
        env = {str(one["name"]): str(one["value"]) for one in section.get("env") or []}
        try:
            told = {"kind": "ExecCredential", "apiVersion": version, "spec": self._spec()}
            env = {**os.environ, **env, "KUBERNETES_EXEC_INFO": json.dumps(told)}
            done = subprocess.run(
                [str(section["command"]), *map(str, section.get("args") or [])],
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
        except OSError as error:
            hint = " ".join(str(section.get("installHint") or "").split())
            raise self._failed(f"{error.filename}: {error.strerror}", hint) from None
        except subprocess.TimeoutExpired:
            raise self._failed(f"it did not end within {PATIENCE:g} s") from None
        if done.returncode:
            raise self._failed(f"exit code {done.returncode}: {_last_words(done.stderr)}")
        try:
            given = json.loads(done.stdout)
            if given["kind"] != "ExecCredential" or given["apiVersion"] != version:
                raise ValueError
            return dict(given["status"])
        except (ValueError, KeyError, TypeError):
            raise self._failed(f"its output is no ExecCredential of {version}") from None

    def _spec(self) -> dict[str, Any]:
        if not self._section.get("provideClusterInfo"):
            return {"interactive": False}
        told = {key: self._cluster[key] for key in TOLD if self._cluster.get(key)}
        file = self._cluster.get("certificate-authority")
        if file and "certificate-authority-data" not in told:
            content = base64.b64encode(Path(file).read_bytes()).decode()
            told["certificate-authority-data"] = content
        for extension in self._cluster.get("extensions") or []:
            if extension.get("name") == "client.authentication.k8s.io/exec":
                told["config"] = extension.get("extension")
        return {"interactive": False, "cluster": told}

    def _failed(self, state: str, hint: str = "") -> SettingsError:
        command = str(self._section.get("command"))
        return SettingsError(
            "The kubeconfig's plugin gave no login.",
            where=f"{command}, exec in {self._where}",
            state=state,
            hint=hint or "run kubectl get --raw /readyz in a terminal: the plugin may ask there",
        )


def _last_words(stderr: bytes) -> str:
    """What a plugin said last; what looks like a token is left out."""
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    words = " ".join(lines[-1].split()) if lines else "it said nothing"
    return re.sub(r"[^\s\"'=:]{24,}", "****", words)[:300]
