"""The Kubernetes API: objects as plain dictionaries, whatever their kind.

The official client's typed models are not used: half of the kit's kinds have none. ``import
kubernetes`` loads a class for each of some 800 kinds, and a method for each request: more than a
second, before every command. Logins, TLS, proxies and one generic request need none of them, so
four pieces of it are taken without the rest.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import quote

from workshop.core.errors import SettingsError, WorkshopError
from workshop.core.wait import NotYet, wait_for
from workshop.targets.cluster import errors
from workshop.targets.cluster.errors import Refused, Unreachable

Object = dict[str, Any]

CONNECT, ANSWER = 5.0, 30.0
"""Seconds for a connection, and for an answer."""

SILENCE = 330.0
"""Seconds without a line after which a watch or a followed log counts as broken: longer than the
API server lets a watch live."""

PATIENCE = 60.0
"""Seconds for which an API server may be away in the middle of a step: it is updated now and then,
and behind it etcd elects a new leader."""

_AGAIN = (429, 500, 502, 503, 504)
"""Answers of an API server that is busy, that starts (it has no addresses for Services then, and
says 500), or that cannot reach etcd."""

logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


class Transport:
    """The official client's ``ApiClient``, which brings logins, TLS and proxies.

    Args:
        client: The ``ApiClient``.
        namespace: Where namespaced objects without one of their own are.

    Attributes:
        requests: How many were sent.
    """

    def __init__(self, client: Any, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.requests = 0

    @property
    def url(self) -> str:
        """The API server."""
        return str(self.client.configuration.host)

    @property
    def where(self) -> str:
        """For errors: the API server and namespace."""
        return f"{self.url}, namespace {self.namespace}"

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Sequence[tuple[str, str]] = (),
        content: str = "application/json",
        accept: str = "application/json",
        what: str,
        patient: bool = True,
        user: str = "",
    ) -> Object:
        """One request, repeated while the API server is away: all that is asked here may be.

        Args:
            method: The HTTP verb.
            path: Below the API server's URL.
            body: Sent as JSON.
            query: Names and values.
            content: The type of the body.
            accept: The type of the answer.
            what: What it is for, such as ``apply Deployment mongodb``; for errors.
            patient: Whether it is repeated.
            user: Ask as this user would; "" asks as oneself.

        Raises:
            Refused: The API server refused, with what that means.
            Unreachable: It did not answer for ``PATIENCE`` seconds.
        """

        def once() -> Object:
            limits = (CONNECT, ANSWER)
            answer = self._send(method, path, body, query, content, accept, what, limits, user)
            found: Object = json.loads(answer.data or b"{}")
            return found

        def again() -> Object | NotYet:
            try:
                return once()
            except Unreachable as error:
                return NotYet(error.state)
            except Refused as error:
                if not _passes(error):
                    raise
                return NotYet(error.state)

        if not patient:
            return once()
        return wait_for(
            f"the API server to {what}",
            again,
            timeout=PATIENCE,
            every=0.5,
            where=self.where,
            hint="is the cluster up, and the network? kubectl get --raw /readyz",
        )

    def _lines(self, path: str, query: Sequence[tuple[str, str]], what: str) -> Iterator[str]:
        import urllib3

        answer = self._send("GET", path, None, query, "", "*/*", what, (CONNECT, SILENCE))
        rest = b""
        try:
            for chunk in answer.stream(amt=None, decode_content=False):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in whole)
            if rest:
                yield rest.decode("utf-8", "replace")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._away(error) from error
        finally:
            answer.close()

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Sequence[tuple[str, str]],
        content: str,
        accept: str,
        what: str,
        timeout: tuple[float, float | None],
        user: str = "",
    ) -> Any:
        import urllib3

        client = official_pieces()
        self.requests += 1
        headers = {"Accept": accept}
        if body:
            headers["Content-Type"] = content
        if user:
            headers["Impersonate-User"] = user
        try:
            answer = self.client.call_api(
                path,
                method,
                query_params=list(query),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=timeout,
            )
            if timeout[1] == ANSWER:
                answer.read(cache_content=True)
        except client.ApiException as error:
            if not error.status:
                raise self._away(error) from error
            raw = error.body or str(error.reason)
            text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
            raise errors.refused(
                error.status, text, what=what, where=self.where, sent=body
            ) from error
        except client.config.ConfigException as error:
            raise SettingsError(
                "The login for the cluster cannot be used.",
                where=self.url,
                state=str(error),
                hint="log in again: oc login, or a new kubeconfig",
            ) from error
        except AttributeError as error:
            # Where TLS fails, the client 36 trips over its own error: that has no body to decode.
            if not isinstance(error.__context__, client.ApiException):
                raise
            raise self._away(error.__context__) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._away(error) from error
        return answer

    def _away(self, error: BaseException) -> WorkshopError:
        text, proxy = " ".join(str(error).split()), self.client.configuration.proxy
        _, untrusted, reason = text.partition("certificate verify failed: ")
        if untrusted:
            # It will not pass: no use in asking again.
            return SettingsError(
                "The API server's certificate was not verified.",
                where=self.url,
                state=reason.partition(" (_ssl")[0],
                hint="name the CA that signed it in the kubeconfig's certificate-authority, and in "
                "tls-server-name the host that it is for, if the server's address is another",
            )
        return Unreachable(
            "The API server does not answer.",
            where=self.url + (f", through the proxy {proxy}" if proxy else ""),
            state=f"{type(error).__name__}: {text[:200]}",
            hint="is the cluster up, and the network? kubectl get --raw /readyz",
        )


def _passes(error: Refused) -> bool:
    """Whether the API server may answer otherwise in a moment."""
    lasting = ("quota", errors.NOT_TYPED)
    return error.code in _AGAIN and not any(text in error.state for text in lasting)


MANAGER = "agent-workshop-kit"
"""The field manager of server-side apply, and the value of the kit's labels."""

WATCHED = 300
"""Seconds after which the API server ends a watch; it is then begun again where it ended."""

PAGE = 250
"""Objects of one page, when many are listed: half a megabyte."""

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""All kinds of all groups in one answer; Kubernetes 1.30 and newer have it in this version."""


@dataclass(frozen=True)
class Kind:
    """One kind, as the cluster serves it."""

    api_version: str
    plural: str
    namespaced: bool


class Api(Transport):
    """One cluster, as one user sees it.

    Args:
        client: The official client's ``ApiClient``.
        namespace: Where namespaced objects without one of their own are.
        inside: Whether this code runs in a pod of that cluster.
        ingress_domain: A domain below which all names lead to the cluster's Ingress controller.
    """

    def __init__(
        self, client: Any, namespace: str, *, inside: bool = False, ingress_domain: str = ""
    ) -> None:
        super().__init__(client, namespace)
        self.inside = inside
        self.ingress_domain = ingress_domain
        self._kinds: dict[tuple[str, str], Kind] = {}

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """An object, or None when there is none.

        Raises:
            Refused: This user may not read it.
            Unreachable: The API server does not answer.
        """
        known = self.kind(api_version, kind)
        if known is None:
            return None
        try:
            return self.request(
                "GET", self._path(known, namespace, name), what=f"get {kind} {name}"
            )
        except Refused as error:
            if error.code == 404:
                return None
            raise

    def list(
        self, api_version: str, kind: str, selector: str = "", namespace: str | None = ""
    ) -> list[Object]:
        """The objects with these labels; ``namespace=None``: in all namespaces.

        A kind that the cluster does not know has none.
        """
        known = self.kind(api_version, kind)
        if known is None:
            return []
        query = [("labelSelector", selector)] if selector else []
        found = self.request(
            "GET", self._path(known, namespace), query=query, what=f"list {known.plural}"
        )
        return [{"apiVersion": known.api_version, "kind": kind, **o} for o in found["items"]]

    def each(self, api_version: str, kind: str, selector: str = "") -> Iterator[Object]:
        """The objects with these labels in all namespaces, fetched a page at a time.

        For many objects: those of the pages before are not kept.
        """
        known = self.kind(api_version, kind)
        if known is None:
            return
        query = [("limit", str(PAGE)), *([("labelSelector", selector)] if selector else [])]
        more = ""
        while True:
            onward = [("continue", more)] if more else []
            found = self.request(
                "GET",
                self._path(known, None),
                query=[*query, *onward],
                what=f"list {known.plural}",
            )
            yield from found["items"]
            more = (found.get("metadata") or {}).get("continue", "")
            if not more:
                return

    def apply(self, wanted: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Server-side apply; gives the object as it is then.

        Raises:
            Refused: It is not allowed, not valid, or another field manager owns a field.
            Unreachable: The API server does not answer.
        """
        kind, name = str(wanted["kind"]), str(wanted["metadata"]["name"])
        query = [("fieldManager", MANAGER), *([("dryRun", "All")] if dry_run else [])]
        return self.request(
            "PATCH",
            self._path(self._known(wanted), wanted["metadata"].get("namespace", ""), name),
            body=wanted,
            query=query,
            content="application/apply-patch+yaml",
            what=f"apply {kind} {name}",
        )

    def merge(self, thing: Mapping[str, Any], change: Mapping[str, Any]) -> Object:
        """Change some fields of an object, and leave the others; None removes one."""
        kind, name = str(thing["kind"]), str(thing["metadata"]["name"])
        return self.request(
            "PATCH",
            self._path(self._known(thing), thing["metadata"].get("namespace", ""), name),
            body=change,
            query=[("fieldManager", MANAGER)],
            content="application/merge-patch+json",
            what=f"change {kind} {name}",
        )

    def create(self, wanted: Mapping[str, Any], subresource: str = "") -> Object:
        """Create an object, or one of an object's subresources, such as a token."""
        name = str(wanted.get("metadata", {}).get("name", ""))
        path = self._path(self._known(wanted), wanted.get("metadata", {}).get("namespace", ""))
        if subresource:
            path += f"/{quote(name)}/{subresource}"
        return self.request("POST", path, body=wanted, what=f"create {wanted['kind']} {name}")

    def delete(self, thing: Mapping[str, Any]) -> bool:
        """Delete an object and what it owns; whether there was one."""
        name = thing["metadata"]["name"]
        path = self._path(self._known(thing), thing["metadata"].get("namespace", ""), name)
        body = {"propagationPolicy": "Background"}
        try:
            self.request("DELETE", path, body=body, what=f"delete {thing['kind']} {name}")
        except Refused as error:
            if error.code == 404:
                return False
            raise
        return True

    def watch(
        self,
        api_version: str,
        kind: str,
        *,
        field: str = "",
        selector: str = "",
        namespace: str | None = "",
    ) -> Iterator[tuple[str, Object]]:
        """What is there, then every change: ``("ADDED" | "MODIFIED" | "DELETED", object)``.

        After the first list comes ``("LISTED", {})``. Ends when the API server ends it.
        ``namespace=None``: in all namespaces.

        Raises:
            Refused: This user may not.
            Unreachable: The connection broke.
        """
        known = self.kind(api_version, kind)
        if known is None:
            yield "LISTED", {}
            return
        path = self._path(known, namespace)
        query = [("fieldSelector", field)] if field else []
        query += [("labelSelector", selector)] if selector else []
        listed = self.request("GET", path, query=query, what=f"list {known.plural}", patient=False)
        for item in listed["items"]:
            yield "ADDED", item
        yield "LISTED", {}
        since = [("watch", "true"), ("resourceVersion", listed["metadata"]["resourceVersion"])]
        since += [("timeoutSeconds", str(WATCHED))]
        for line in self._lines(path, [*query, *since], f"watch {known.plural}"):
            event = json.loads(line)
            if event["type"] == "ERROR":
                # The change to go on from is too old: begin again with a list.
                return
            yield event["type"], event["object"]

    def logs(
        self,
        pod: str,
        container: str,
        *,
        lines: int,
        previous: bool = False,
        follow: bool = False,
        times: bool = False,
        namespace: str = "",
    ) -> Iterator[str]:
        """A container's log, oldest line first; with ``times`` each begins with its own.

        Times are RFC 3339 with nine digits of a second, so that they sort as text.
        """
        where = quote(namespace or self.namespace)
        path = f"/api/v1/namespaces/{where}/pods/{quote(pod)}/log"
        query = [("container", container), ("tailLines", str(lines))]
        query += [("previous", "true")] if previous else []
        query += [("follow", "true")] if follow else []
        query += [("timestamps", "true")] if times else []
        yield from self._lines(path, query, f"read the log of {pod}")

    def kind(self, api_version: str, kind: str) -> Kind | None:
        """How the cluster serves a kind, or None. It is asked once for all kinds."""
        found = self._kinds.get((api_version, kind))
        if found is None and not self._kinds:
            self.discover()
            found = self._kinds.get((api_version, kind))
        return found

    def discover(self) -> None:
        """Ask the cluster for its kinds; to be repeated when an operator was installed."""
        kinds: dict[tuple[str, str], Kind] = {}
        for root in ("/api", "/apis"):
            found = self.request("GET", root, accept=_DISCOVERY, what="list its kinds")
            if found.get("kind") != "APIGroupDiscoveryList":
                raise SettingsError(
                    "This cluster is too old for the kit.",
                    where=self.url,
                    state="it does not list all of its kinds at once",
                    hint="Kubernetes 1.30 or newer, which is OpenShift 4.17 or newer",
                )
            for group in found["items"]:
                name = group.get("metadata", {}).get("name", "")
                for version in group.get("versions", []):
                    whole = f"{name}/{version['version']}" if name else version["version"]
                    for one in version.get("resources", []):
                        word = (one.get("responseKind") or {}).get("kind")
                        if word:
                            namespaced = one.get("scope") == "Namespaced"
                            kinds[whole, word] = Kind(whole, one["resource"], namespaced)
        self._kinds = kinds

    def _known(self, thing: Mapping[str, Any]) -> Kind:
        api_version, kind = str(thing["apiVersion"]), str(thing["kind"])
        found = self.kind(api_version, kind)
        if found is None:
            # Its operator may have been installed a moment ago.
            self.discover()
            found = self.kind(api_version, kind)
        if found is None:
            raise SettingsError(
                f"The cluster does not know the kind {kind} ({api_version}).",
                where=self.url,
                state="its custom resource definition is not installed",
                hint="install the operator that brings it: 00_check_environment names it",
            )
        return found

    def _path(self, kind: Kind, namespace: str | None, name: str = "") -> str:
        root = ("/apis/" if "/" in kind.api_version else "/api/") + kind.api_version
        within = ""
        if kind.namespaced and namespace is not None:
            within = f"/namespaces/{quote(namespace or self.namespace)}"
        return f"{root}{within}/{kind.plural}" + (f"/{quote(name)}" if name else "")


PACKAGE = "kubernetes"


@functools.cache
def official_pieces() -> SimpleNamespace:
    """``ApiClient``, ``Configuration``, ``ApiException``, and the module ``config``.

    Where the client is laid out otherwise than in version 36, the whole of it is loaded.
    """
    if PACKAGE not in sys.modules:
        try:
            with _without_models():
                return _gathered(sys.modules[f"{PACKAGE}.client"])
        except (ImportError, AttributeError):
            pass
    client = importlib.import_module(f"{PACKAGE}.client")
    return _gathered(client)


def _gathered(client: ModuleType) -> SimpleNamespace:
    exceptions = importlib.import_module(f"{PACKAGE}.client.exceptions")
    configuration = importlib.import_module(f"{PACKAGE}.client.configuration").Configuration
    api_client = importlib.import_module(f"{PACKAGE}.client.api_client").ApiClient
    # Its configuration module imports them from here.
    vars(client).setdefault("Configuration", configuration)
    vars(client).setdefault("ApiClient", api_client)
    config = importlib.import_module(f"{PACKAGE}.config")
    return SimpleNamespace(
        ApiClient=api_client,
        Configuration=configuration,
        ApiException=exceptions.ApiException,
        config=config,
    )


@contextmanager
def _without_models() -> Iterator[None]:
    """Packages that load none of their modules by themselves, and no model at all.

    They are taken away afterwards: who imports the client later gets the whole of it.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError(PACKAGE)
    root = Path(spec.origin).parent
    try:
        for name in (PACKAGE, f"{PACKAGE}.client", f"{PACKAGE}.client.models"):
            package = ModuleType(name)
            package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
            sys.modules[name] = package
            parent, _, own = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], own, package)
        yield
    finally:
        for name in [one for one in sys.modules if one.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
