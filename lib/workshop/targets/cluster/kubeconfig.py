"""A kubeconfig, read as kubectl reads it.

The official client 36 drops fields that decide where a token goes (``proxy-url``) and who one is
(``as``), takes the last file's ``current-context``, goes on without a login when an ``exec`` plugin
fails, and does not read JSON with tabs. So the kit reads the files, and leaves to the client the
server and the certificates. What cannot be honoured is refused by its name before anything is
sent. The fields: ``clientcmd/api/v1/types.go`` of client-go.

No error quotes a value, nothing that a plugin writes to its output, nor a parser's words, which
quote the file: a token may stand there.
"""

import base64
import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from workshop.core import proxies
from workshop.core.errors import SettingsError
from workshop.core.proxies import Proxy
from workshop.targets.cluster.errors import no_cluster, no_login

Section = dict[str, Any]

DEFAULT = "~/.kube/config"
PATIENCE = 60.0  # Seconds for a plugin: it may ask a server for a token.
EARLY = timedelta(minutes=1)  # How long before its end a token is asked for anew.

REFUSED = {
    "insecure-skip-tls-verify": "the kit verifies TLS: kubectl config set-cluster NAME "
    "--insecure-skip-tls-verify=false --certificate-authority=FILE",
    "auth-provider": "use a token, or a plugin: kubectl config set-credentials NAME --exec-command",
    **dict.fromkeys(
        ("as", "as-uid", "as-groups", "as-user-extra"),
        "log in as that user, or give yours the permissions",
    ),
}
"""Fields that kubectl honours and the kit does not, and what to do instead."""

CLUSTER = ("certificate-authority-data", "certificate-authority", "tls-server-name")
USER = ("client-certificate-data", "client-certificate", "client-key-data", "client-key")
"""What the client is given to read; of data and a file, the data counts."""

FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""Fields that name a file: below the folder of the kubeconfig in which they stand."""

TEXTS = (*CLUSTER, *USER, "server", "proxy-url", "token", "tokenFile", "username", "password")
PARTS = ("clusters", "contexts", "users")


@dataclass(frozen=True, repr=False)
class Credential:
    """What to log in with: a header's value, or a certificate and its key as PEM."""

    authorization: str = ""
    certificate: str = ""
    key: str = ""


class Login:
    """What the current context of these files says.

    ``files`` are as ``KUBECONFIG`` has them, with the system's separator between them; "" is
    ``~/.kube/config``.

    Raises:
        SettingsError: There is none, it cannot be read, or it has what cannot be honoured.
    """

    def __init__(self, files: str) -> None:
        self.where = files or DEFAULT
        kept = _merged([Path(one).expanduser() for one in self.where.split(os.pathsep) if one])
        context = self._named(kept, "context", kept["current-context"])
        # A context without one means "default", in which a workshop has no place.
        named = str(context.get("namespace") or "")
        self.namespace = "" if named == "default" else named
        self._cluster = self._named(kept, "cluster", context.get("cluster"))
        self._user = self._named(kept, "user", context["user"]) if context.get("user") else {}
        self._check()
        self.server = str(self._cluster["server"]).rstrip("/")

    def sections(self, credential: Credential) -> Section:
        """A kubeconfig for the client: the server and certificates, without anybody's login."""
        cluster = {key: self._cluster[key] for key in CLUSTER if self._cluster.get(key)}
        user = {key: self._user[key] for key in USER if self._user.get(key)}
        if credential.certificate:
            user["client-certificate-data"] = _base64(credential.certificate.encode())
            user["client-key-data"] = _base64(credential.key.encode())
        return {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
            "clusters": [{"name": "here", "cluster": {"server": self.server, **cluster}}],
            "users": [{"name": "here", "user": user}],
        }

    def proxy(self, env: Mapping[str, str]) -> Proxy | None:
        """``proxy-url``, whatever ``NO_PROXY`` says, as with kubectl; or else the environment's."""
        if self._cluster.get("proxy-url"):
            return proxies.read(self._cluster["proxy-url"], f"proxy-url in {self.where}")
        return proxies.for_server(self.server, env)

    def credential(self) -> Callable[[], Credential]:
        """Gives what to log in with, read anew where a file or a plugin has it."""
        user = self._user
        if user.get("tokenFile"):
            return lambda: Credential(f"Bearer {self._token(Path(user['tokenFile']))}")
        if user.get("token"):
            return lambda: Credential(f"Bearer {user['token']}")
        if user.get("exec"):
            return Plugin(user["exec"], self._cluster, self.where).ask
        if user.get("username"):
            pair = f"{user['username']}:{user.get('password') or ''}".encode()
            return lambda: Credential(f"Basic {_base64(pair)}")
        return Credential

    def _token(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise no_login(self.where, f"tokenFile: {_reason(path, error)}") from None

    def _named(self, kept: Section, kind: str, name: object) -> Section:
        if not name:
            lacks = "current-context" if kind == "context" else f"{kind} in its context"
            raise no_cluster(self.where, f"it has no {lacks}")
        for entry in kept[f"{kind}s"]:
            if str(entry["name"]) == str(name):
                return dict(entry[kind])
        raise no_cluster(self.where, f"it has no {kind} {str(name)!r}")

    def _check(self) -> None:
        """Refuse what cannot be honoured, all of it at once."""
        both = {**self._cluster, **self._user}
        found = {key: hint for key, hint in REFUSED.items() if both.get(key)}
        problems = [f"{key} is not supported" for key in found]
        for key in TEXTS:
            value = both.get(key) or ""
            if not isinstance(value, str):
                problems.append(f"{key} is not text")
            elif key.endswith("-data") and not _is_base64(value):
                problems.append(f"{key} is not base64")
        has = {key for key in both if both[key]}
        for one, other in (("certificate", "key"), ("key", "certificate")):
            pairs = [{f"client-{word}", f"client-{word}-data"} for word in (one, other)]
            if has & pairs[0] and not has & pairs[1]:
                problems.append(f"client-{one} is there without client-{other}")
        if both.get("exec") and not _is_plugin(both["exec"]):
            problems.append("exec is not as kubectl writes it")
        if both.get("username") and (both.get("token") or both.get("tokenFile")):
            problems.append("it has both a token and a username")
        if not _is_server(both.get("server")):
            problems.append("server is not a URL such as https://host:6443, without a login in it")
        if problems:
            hints = "; ".join(dict.fromkeys(found.values()))
            raise no_login(self.where, "; ".join(problems), hints)


class Plugin:
    """The program that an ``exec`` section names; ``where`` is its kubeconfig, for errors.

    Its protocol: https://kubernetes.io/docs/reference/access-authn-authz/authentication/,
    "client-go credential plugins".
    """

    def __init__(self, section: Mapping[str, Any], cluster: Mapping[str, Any], where: str) -> None:
        self._section = section
        self._cluster = cluster
        self._where = where
        self._version = str(section.get("apiVersion"))
        self._kept = Credential()
        self._until: datetime | None = datetime.min.replace(tzinfo=UTC)

    def ask(self) -> Credential:
        """What it gives; kept for as long as it says that it is valid."""
        if self._until is None or datetime.now(UTC) + EARLY < self._until:
            return self._kept
        status = self._status(self._output())
        names = ("token", "clientCertificateData", "clientKeyData")
        token, certificate, key = (str(status.get(name) or "") for name in names)
        if not token and not (certificate and key):
            raise self._failed("it gave neither a token nor a certificate with its key")
        ends = status.get("expirationTimestamp")
        try:
            self._until = datetime.fromisoformat(str(ends)) if ends else None
        except ValueError:
            raise self._failed("its expirationTimestamp is not a time") from None
        self._kept = Credential(f"Bearer {token}" if token else "", certificate, key)
        return self._kept

    def _output(self) -> bytes:
        section = self._section
        if section.get("interactiveMode") == "Always":
            raise self._failed(
                "interactiveMode Always is not supported: a notebook has no terminal",
                "log in by that plugin in a terminal, and use a plugin that keeps its login",
            )
        env = {str(one["name"]): str(one["value"]) for one in section.get("env") or []}
        try:
            told = {"kind": "ExecCredential", "apiVersion": self._version, "spec": self._spec()}
            done = subprocess.run(
                [str(section["command"]), *map(str, section.get("args") or [])],
                env={**os.environ, **env, "KUBERNETES_EXEC_INFO": json.dumps(told)},
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
        return done.stdout

    def _status(self, output: bytes) -> Section:
        try:
            given = json.loads(output)
            if given["kind"] == "ExecCredential" and given["apiVersion"] == self._version:
                return dict(given["status"])
        except (ValueError, KeyError, TypeError):
            pass
        raise self._failed(f"its output is not an ExecCredential of {self._version}") from None

    def _spec(self) -> Section:
        if not self._section.get("provideClusterInfo"):
            return {"interactive": False}
        told = ("server", "tls-server-name", "certificate-authority-data", "proxy-url")
        cluster = {key: self._cluster[key] for key in told if self._cluster.get(key)}
        if file := self._cluster.get("certificate-authority"):
            cluster.setdefault("certificate-authority-data", _base64(Path(file).read_bytes()))
        for extension in self._cluster.get("extensions") or []:
            if extension.get("name") == "client.authentication.k8s.io/exec":
                cluster["config"] = extension.get("extension")
        return {"interactive": False, "cluster": cluster}

    def _failed(self, state: str, hint: str = "") -> SettingsError:
        return SettingsError(
            "The kubeconfig's plugin gave no login.",
            where=f"{self._section.get('command')}, exec in {self._where}",
            state=state,
            hint=hint or "run kubectl get --raw /readyz in a terminal: the plugin may ask there",
        )


def _last_words(stderr: bytes) -> str:
    """What a plugin said last; what looks like a token is left out."""
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    words = " ".join(lines[-1].split()) if lines else "it said nothing"
    return re.sub(r"[^\s\"'=:]{24,}", "****", words)[:300]


def _merged(paths: list[Path]) -> Section:
    """Several files as one: the first that has a name, or a current context, counts."""
    contents = [(path, found) for path in paths if (found := _read(path)) is not None]
    if not contents:
        raise no_cluster(os.pathsep.join(map(str, paths)), "there is no such file")
    current = (content.get("current-context") for _, content in contents)
    kept: Section = {"current-context": next(filter(None, current), "")}
    for part in PARTS:
        kept[part] = [
            _entry(entry, part, path)
            for path, content in contents
            for entry in content.get(part) or []
        ]
    return kept


def _entry(entry: object, part: str, path: Path) -> Section:
    """One cluster, context or user, with whole paths."""
    kind = part.removesuffix("s")
    section = (entry.get(kind) or {}) if isinstance(entry, dict) and "name" in entry else None
    if not isinstance(entry, dict) or not isinstance(section, dict):
        raise no_login(str(path), f"an entry of {part} is not as kubectl writes it")
    below = path.absolute().parent
    whole = {key: str(below / str(section[key])) for key in FILES if section.get(key)}
    plugin = section.get("exec")
    if isinstance(plugin, dict) and "/" in str(plugin.get("command") or ""):
        section = section | {"exec": plugin | {"command": str(below / plugin["command"])}}
    return {"name": entry["name"], kind: section | whole}


def _read(path: Path) -> Section | None:
    """The content of one file, None where there is none. JSON is tried first: YAML has no tabs."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        raise no_login(str(path), _reason(path, error)) from None
    try:
        content = json.loads(text)
    except ValueError:
        try:
            content = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            raise no_login(str(path), f"it is neither YAML nor JSON{line}") from None
    if isinstance(content, dict) and all(isinstance(content.get(p) or [], list) for p in PARTS):
        return content
    raise no_login(str(path), "it is not a kubeconfig")


def _reason(path: Path, error: Exception) -> str:
    return f"{path}: {error.strerror if isinstance(error, OSError) else 'not text'}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        return False
    return True


def _is_plugin(section: object) -> bool:
    if not isinstance(section, dict) or not section.get("command"):
        return False
    env, args = section.get("env") or [], section.get("args") or []
    if not isinstance(env, list) or not isinstance(args, list):
        return False
    return all(isinstance(one, dict) and {"name", "value"} <= one.keys() for one in env)


def _is_server(value: object) -> bool:
    try:
        parts = urlsplit(str(value or ""))
        has_port = parts.port != 0
    except ValueError:
        return False
    is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and has_port
    return is_whole and parts.username is None
