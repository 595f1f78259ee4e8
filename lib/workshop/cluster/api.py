"""The Kubernetes API: objects as plain dictionaries, whatever their kind.

The official client's typed models are not used: half of the kit's kinds have none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from workshop.cluster.refusals import Refused
from workshop.cluster.transport import Object, Transport
from workshop.errors import SettingsError

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
