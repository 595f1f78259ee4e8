"""The Kubernetes API: objects as plain dictionaries, whatever their kind.

The official client brings logins, TLS, proxies and one generic request. Its typed models are not
used: half of the kit's kinds have none. Nor is its dynamic client: version 36 asks for the kinds of
each group by itself, and keeps them in a file of the temporary folder that everybody shares.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import quote

import urllib3
from kubernetes import client as official
from kubernetes import config as official_config

from workshop.core.errors import SettingsError, WorkshopError
from workshop.core.wait import NotYet, wait_for
from workshop.targets.cluster import errors
from workshop.targets.cluster.errors import Refused, Unreachable

Object = dict[str, Any]

CONNECT, ANSWER = 5.0, 30.0  # Seconds for a connection, and for an answer.
WATCHED = 300  # Seconds after which the API server ends a watch; it is started again there.
SILENCE = WATCHED + 30.0  # Seconds without a line after which a watch or a log counts as broken.

PATIENCE = 60.0
"""Seconds for which an API server may be away: it is updated, or behind it etcd elects a leader."""

MANAGER = "agent-workshop-kit"  # Field manager of server-side apply; value of the kit's labels.
PAGE = 250  # Objects of one page of a list: half a megabyte.
_AGAIN = (429, 500, 502, 503, 504)
"""Answers of an API server that is busy, that starts (it has no addresses for Services then, and
says 500), or that cannot reach etcd."""

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""All kinds of all groups in one answer; Kubernetes 1.30 and newer have it in this version."""

_HINT = "is the cluster up, and the network? kubectl get --raw /readyz"

logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def at_once[T, U](do: Callable[[T], U], things: Iterable[T]) -> list[U]:
    """What ``do`` gives of each of these, asked eight at a time."""
    with ThreadPoolExecutor(8, thread_name_prefix="request") as pool:
        return list(pool.map(do, things))


class Kind(NamedTuple):
    """One kind, as the cluster serves it."""

    api_version: str
    plural: str
    namespaced: bool


class Api:
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
        self.client = client
        self.namespace = namespace
        self.inside = inside
        self.ingress_domain = ingress_domain
        self.requests = 0
        self._kinds: dict[tuple[str, str], Kind] = {}
        self.url = str(client.configuration.host)

    @property
    def where(self) -> str:
        """For errors: the API server and namespace."""
        return f"{self.url}, namespace {self.namespace}"

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """An object, or None when there is none."""
        known = self.kind(api_version, kind)
        path = self._path(known, namespace, name) if known else ""
        return self._unless_missing("GET", path, what=f"get {kind} {name}") if path else None

    def list(
        self, api_version: str, kind: str, selector: str = "", namespace: str | None = ""
    ) -> list[Object]:
        """The objects with these labels; ``namespace=None``: in all. An unknown kind has none."""
        return [*self.each(api_version, kind, selector, namespace)]

    def each(
        self, api_version: str, kind: str, selector: str = "", namespace: str | None = None
    ) -> Iterator[Object]:
        """The same a page at a time: those of the pages before are not kept."""
        known = self.kind(api_version, kind)
        if known is None:
            return
        path, what = self._path(known, namespace), f"list {known.plural}"
        asked = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            found = self.request("GET", path, query=asked, what=what)
            for item in found["items"]:
                yield {"apiVersion": known.api_version, "kind": kind, **item}
            asked["continue"] = (found.get("metadata") or {}).get("continue", "")
            if not asked["continue"]:
                return

    def apply(self, wanted: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Server-side apply; gives the object as it is then.

        Raises ``Refused``: not allowed, not valid, or another field manager owns a field.
        """
        query = {"dryRun": "All"} if dry_run else {}
        return self._patch("apply", wanted, wanted, "application/apply-patch+yaml", query)

    def merge(self, thing: Mapping[str, Any], change: Mapping[str, Any]) -> Object:
        """Change some fields of an object, and leave the others; None removes one."""
        return self._patch("change", thing, change, "application/merge-patch+json")

    def create(self, wanted: Mapping[str, Any]) -> Object:
        """Create an object; refused where there is one."""
        meta = wanted.get("metadata", {})
        path = self._path(self._known(wanted), meta.get("namespace", ""))
        what = f"create {wanted['kind']} {meta.get('name', '')}"
        return self.request("POST", path, body=wanted, what=what)

    def delete(self, thing: Mapping[str, Any]) -> bool:
        """Delete an object and what it owns; whether there was one."""
        what = f"delete {thing['kind']} {thing['metadata']['name']}"
        path, body = self._path_of(thing), {"propagationPolicy": "Background"}
        return self._unless_missing("DELETE", path, body=body, what=what) is not None

    def watch(
        self, api_version: str, kind: str, *, field: str = "", namespace: str | None = ""
    ) -> Iterator[tuple[str, Object]]:
        """What is there, then every change: ``("ADDED" | "MODIFIED" | "DELETED", object)``.

        After the first list comes ``("LISTED", {})``. Ends when the API server ends it; raises
        ``Unreachable`` when the connection breaks. ``namespace=None``: in all namespaces.
        """
        known = self.kind(api_version, kind)
        if known is None:
            yield "LISTED", {}
            return
        path = self._path(known, namespace)
        query = {"fieldSelector": field} if field else {}
        listed = self.request("GET", path, query=query, what=f"list {known.plural}", patient=False)
        for item in listed["items"]:
            yield "ADDED", {"apiVersion": known.api_version, "kind": kind, **item}
        yield "LISTED", {}
        query |= {"resourceVersion": listed["metadata"]["resourceVersion"]}
        query |= {"watch": "true", "timeoutSeconds": str(WATCHED)}
        for line in self._lines(path, query, f"watch {known.plural}"):
            event = json.loads(line)
            if event["type"] == "ERROR":
                # The change to go on from is too old: start again with a list.
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
        """A container's log, oldest line first; with ``times`` each has one to sort by."""
        where = quote(namespace or self.namespace)
        flags = {"previous": previous, "follow": follow, "timestamps": times}
        query = {"container": container, "tailLines": str(lines)}
        query |= {name: "true" for name, is_set in flags.items() if is_set}
        path = f"/api/v1/namespaces/{where}/pods/{quote(pod)}/log"
        yield from self._lines(path, query, f"read the log of {pod}")

    def kind(self, api_version: str, kind: str) -> Kind | None:
        """How the cluster serves a kind, or None. It is asked once for all kinds."""
        if not self._kinds:
            self.discover()
        return self._kinds.get((api_version, kind))

    def discover(self) -> None:
        """Ask the cluster for its kinds; to be repeated when an operator was installed."""
        kinds: dict[tuple[str, str], Kind] = {}
        for root in ("/api", "/apis"):
            headers = {"Accept": _DISCOVERY}
            found = self.request("GET", root, headers=headers, what="list its kinds")
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
                            is_namespaced = one.get("scope") == "Namespaced"
                            kinds[whole, word] = Kind(whole, one["resource"], is_namespaced)
        self._kinds = kinds

    def request(
        self,
        method: str,
        path: str,
        *,
        what: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] = {},
        headers: Mapping[str, str] = {},
        patient: bool = True,
    ) -> Object:
        """One request, repeated while the API server is away: all that is asked here may be.

        ``what`` is what it is for, such as ``apply Deployment mongodb``; ``headers`` are those
        besides, or in place of, JSON's. Unless ``patient``, it is sent once.
        """

        def ask() -> Object | NotYet:
            try:
                answer = self._send(method, path, what, body=body, query=query, headers=headers)
            except (Refused, Unreachable) as error:
                if not patient or not _may_pass(error):
                    raise
                return NotYet(error.state)
            return dict(json.loads(answer.data or b"{}"))

        waiting = f"the API server to {what}"
        return wait_for(waiting, ask, timeout=PATIENCE, every=0.5, where=self.where, hint=_HINT)

    def _unless_missing(self, method: str, path: str, **options: Any) -> Object | None:
        """The answer, or None when there is no such object."""
        try:
            return self.request(method, path, **options)
        except Refused as error:
            if error.code == 404:
                return None
            raise

    def _patch(
        self,
        verb: str,
        thing: Mapping[str, Any],
        body: Mapping[str, Any],
        content: str,
        query: Mapping[str, str] = {},
    ) -> Object:
        return self.request(
            "PATCH",
            self._path_of(thing),
            what=f"{verb} {thing['kind']} {thing['metadata']['name']}",
            body=body,
            query={"fieldManager": MANAGER, **query},
            headers={"Content-Type": content},
        )

    def _lines(self, path: str, query: Mapping[str, str], what: str) -> Iterator[str]:
        headers = {"Accept": "*/*"}
        answer = self._send("GET", path, what, query=query, headers=headers, is_stream=True)
        try:
            for line in answer:
                yield line.decode("utf-8", "replace").removesuffix("\n")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._away(error) from error
        finally:
            answer.close()

    def _send(
        self,
        method: str,
        path: str,
        what: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        is_stream: bool = False,
    ) -> Any:
        self.requests += 1
        json_type = "application/json"
        usual = {"Accept": json_type} | ({"Content-Type": json_type} if body else {})
        try:
            answer = self.client.call_api(
                path,
                method,
                query_params=dict(query),
                header_params={**usual, **headers},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=(CONNECT, SILENCE if is_stream else ANSWER),
            )
            if not is_stream:
                answer.read(cache_content=True)
        except official.ApiException as error:
            if not error.status:
                raise self._away(error) from error
            raw = error.body or str(error.reason)
            text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
            said = errors.refused(error.status, text, what=what, where=self.where, sent=body)
            raise said from error
        except official_config.ConfigException as error:
            raise errors.no_login(self.url, str(error)) from error
        except AttributeError as error:
            # Where TLS fails, the client 36 trips over its own error: that has no body to decode.
            if not isinstance(error.__context__, official.ApiException):
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
            hint=_HINT,
        )

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

    def _path_of(self, thing: Mapping[str, Any]) -> str:
        meta = thing["metadata"]
        return self._path(self._known(thing), meta.get("namespace", ""), str(meta["name"]))

    def _path(self, kind: Kind, namespace: str | None, name: str = "") -> str:
        root = ("/apis/" if "/" in kind.api_version else "/api/") + kind.api_version
        within = ""
        if kind.namespaced and namespace is not None:
            within = f"/namespaces/{quote(namespace or self.namespace)}"
        return f"{root}{within}/{kind.plural}" + (f"/{quote(name)}" if name else "")


def _may_pass(error: Refused | Unreachable) -> bool:
    """Whether the API server may answer otherwise in a moment."""
    if isinstance(error, Unreachable):
        return True
    lasting = ("quota", errors.NOT_TYPED)
    return error.code in _AGAIN and not any(text in error.state for text in lasting)
