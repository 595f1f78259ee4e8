"""How a part is reached from where this code runs.

In a pod of the cluster: by the Service's DNS name. From outside: by the Route, if its host is known
here; else by a port of this machine's loopback that is forwarded through the API server.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import re
import selectors
import shutil
import socket
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes.stream import portforward

from workshop.core.errors import PartFailed
from workshop.core.secret import Secret
from workshop.core.wait import NotYet, wait_for
from workshop.targets.base import Endpoint, Part, Route
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.errors import if_allowed
from workshop.targets.cluster.manifests import ROUTE, Address, Plan

ROUTER_CA = ("openshift-config-managed", "default-ingress-cert", "ca-bundle.crt")
"""Where OpenShift shows the CA of its router to everybody: namespace, ConfigMap, key."""

INGRESS = ("networking.k8s.io/v1", "Ingress")
HAPROXY = "haproxy.router.openshift.io/timeout"
NGINX = "nginx.ingress.kubernetes.io/proxy-read-timeout"

DEFAULTS = {HAPROXY: 30.0, NGINX: 60.0}
"""Seconds that a router, or ingress-nginx, gives an answer unless it is told."""

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""HAProxy's, in seconds; without one it means milliseconds. nginx's annotation has bare seconds."""

TOKEN_MADE = 30.0  # Seconds for the cluster to make a token.
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Location(Address):
    """What is kept of a plan, so that another notebook finds the part. No credential is in it."""

    credential: str = ""
    sticky: bool = False

    @classmethod
    def of(cls, plan: Plan, part: Part) -> Location:
        """Where a part is; ``credential`` names the one that the kit keeps."""
        # Whether the part's Service keeps a client with the pod that it had.
        sticky = any(
            thing["kind"] == "Service" and thing["spec"].get("sessionAffinity") == "ClientIP"
            for thing in plan.objects
        )
        same = {f.name: getattr(plan, f.name) for f in fields(Address)}
        return cls(**same, credential=part.credential, sticky=sticky)

    def text(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Location:
        """From what was kept."""
        content = json.loads(text)
        for pair in ("token", "ca"):
            content[pair] = tuple(content[pair]) if content[pair] else None
        return cls(**content)


class Endpoints:
    """Makes endpoints, and keeps the forwarded ports of this process.

    ``kept`` gives the credential of a name, where the kit keeps it.
    """

    def __init__(self, api: Api, kept: Callable[[str], Secret | None]) -> None:
        self._api = api
        self._kept = kept
        self._forwards: dict[tuple[str, int], Forward] = {}
        self._tokens: dict[tuple[str, str], Secret] = {}
        self._ports: dict[str, int] = {}
        self._authorities: dict[tuple[str, str], Path] = {}
        self._folder: Path | None = None

    def endpoint(self, location: Location, ready: Callable[[], list[Object]]) -> Endpoint:
        """How to reach it; ``ready`` gives its pods that are ready."""
        inside = self.peer(location).url

        def at(port: int) -> str:
            if self._api.inside:
                return f"{self._host(location)}:{port}"
            return self._forward((location.service, port), ready, sticky=location.sticky)

        routed = self._routed(location)
        credential: Secret | None = None
        if location.token:
            credential = self.token(location.token)
        elif location.credential:
            credential = self._kept(location.credential)
        ca = self._ca(*location.ca) if location.ca else None
        is_tls = location.scheme == "https" and not routed
        return Endpoint(
            routed or (inside if self._api.inside else f"{location.scheme}://{at(location.port)}"),
            # A credential with a user is a password, else a token.
            token=None if location.user else credential,
            user=location.user,
            password=credential if location.user else None,
            ca_file=self.router_ca() if routed and location.route else ca,
            also={name: f"http://{at(port)}" for name, port in location.also.items()},
            inside=inside,
            server_name=self._host(location) if is_tls else "",
        )

    def replica(
        self, location: Location, pod: Object, ready: Callable[[], list[Object]]
    ) -> Endpoint:
        """How to reach this pod of it by itself."""
        name, address = str(pod["metadata"]["name"]), str(pod["status"]["podIP"])

        def itself() -> list[Object]:
            return [one for one in ready() if one["metadata"]["name"] == name]

        def at(port: int) -> str:
            place = f"{address}:{port}" if self._api.inside else self._forward((name, port), itself)
            return f"{location.scheme}://{place}"

        whole = self.endpoint(replace(location, route="", ingress=""), ready)
        also = {key: at(port) for key, port in location.also.items()}
        return replace(whole, url=at(location.port), also=also)

    def peer(self, location: Location) -> Endpoint:
        """How other parts reach it, whether it runs already or not; without its credential."""
        place = f"{self._host(location)}:{self._service_port(location)}"
        return Endpoint(f"{location.scheme}://{place}", user=location.user)

    def router_ca(self) -> Path | None:
        """The router's CA; None, the system's, where it is not shown, as with a public one."""
        namespace, name, key = ROUTER_CA
        # Not shown, it is not meant to be needed: the certificate is one that everybody knows.
        return if_allowed(lambda: self._ca(name, key, namespace), None)

    def ca_file(self, name: str, text: str) -> Path:
        """A file with this CA, for as long as this process lives."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="workshop-ca-"))
            # Not with this object: an endpoint that names the file may outlive it.
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / f"{name}.pem"
        path.write_text(text, encoding="utf-8")
        return path

    def renew_token(self, part: str, where: tuple[str, str], old: Secret) -> None:
        """Have the cluster make another token than this in this Secret, and key.

        It believes a token for as long as its Secret is there: one that is deleted and made again,
        from this part's manifests, holds another.
        """
        name, key = where

        def token() -> str | NotYet:
            found = objects.content(self._api.get("v1", "Secret", name)).get(key)
            return found or NotYet(f"the Secret {name} has no {key} yet")

        empty = objects.one(objects.build(objects.MANIFESTS / part / "base"), "Secret", name)
        if token() == old.reveal():
            self._api.delete(empty)
        self._api.apply(empty)
        what = "the cluster to make a token"
        made = wait_for(what, token, timeout=TOKEN_MADE, every=0.2, where=self._api.where)
        self._tokens[where] = Secret(made)

    def routes(self, parts: Iterable[Location]) -> list[Route]:
        """The Routes and Ingresses that are served, also what OpenShift AI has made for a model."""
        services = {location.service: location for location in parts}
        found = []
        for route in self._api.list(*ROUTE):
            location, host = services.get(route["spec"]["to"]["name"]), admitted(route)
            if location and host:
                tls = route["spec"].get("tls") or {}
                entry = Route(
                    f"Route {route['metadata']['name']}",
                    Endpoint(f"https://{host}", ca_file=self.router_ca()),
                    str(tls.get("termination", "")),
                    location.scheme == "https",
                    seconds_of(route),
                    ours=not objects.is_owned(route),
                )
                found.append(entry)
        for location in services.values():
            name = location.ingress
            ingress = self._api.get(*INGRESS, name) if name else None
            if ingress and (host := served(ingress)):
                termination = "edge" if ingress["spec"].get("tls") else ""
                is_tls, endpoint = location.scheme == "https", Endpoint(f"https://{host}")
                allowed = seconds_of(ingress)
                found.append(Route(f"Ingress {name}", endpoint, termination, is_tls, allowed))
        return found

    def _host(self, location: Location) -> str:
        return f"{location.service}.{self._api.namespace}.svc.cluster.local"

    def _service_port(self, location: Location) -> int:
        """The port on which the Service answers. A headless one leads to the pods' own port."""
        name, wanted = location.service, location.port
        if name not in self._ports:
            service = self._api.get("v1", "Service", name)
            if service is None:
                return wanted
            spec = service["spec"]
            ports = [] if spec.get("clusterIP") == "None" else spec.get("ports") or []
            fitting = [one for one in ports if wanted in (one["port"], one.get("targetPort"))]
            fitting = fitting or (ports if len(ports) == 1 else [{"port": wanted}])
            self._ports[name] = int(fitting[0]["port"])
        return self._ports[name]

    def _forward(
        self, key: tuple[str, int], ready: Callable[[], list[Object]], *, sticky: bool = False
    ) -> str:
        if key not in self._forwards:
            self._forwards[key] = Forward(self._api, ready, key[1], sticky=sticky)
        return self._forwards[key].address

    def token(self, where: tuple[str, str]) -> Secret:
        """The token that the cluster has made in this Secret, under this key."""
        if where not in self._tokens:
            name, key = where
            value = objects.content(self._api.get("v1", "Secret", name)).get(key)
            if not value:
                raise PartFailed(
                    f"The cluster has not created the token in the Secret {name}.",
                    where=self._api.where,
                    state=f"its key {key} is missing",
                    hint="run this notebook again; kubectl describe secret " + name,
                )
            self._tokens[where] = Secret(value)
        return self._tokens[where]

    def _routed(self, location: Location) -> str:
        """The URL from outside, if a router serves it and its host is known here."""
        host = ""
        if location.route and not self._api.inside:
            host = admitted(self._api.get(*ROUTE, location.route))
        elif location.ingress and not self._api.inside:
            host = served(self._api.get(*INGRESS, location.ingress))
        with contextlib.suppress(OSError):
            return f"https://{host}" if host and socket.getaddrinfo(host, 443) else ""
        return ""

    def _ca(self, name: str, key: str, namespace: str = "") -> Path | None:
        if (namespace, name) not in self._authorities:
            text = objects.content(self._api.get("v1", "ConfigMap", name, namespace)).get(key)
            if not text:
                return None
            self._authorities[namespace, name] = self.ca_file(name, text)
        return self._authorities[namespace, name]


_one_at_a_time = threading.Lock()
"""The client's ``portforward`` swaps a method of its ``ApiClient`` for the time of a call."""


class Forward(socketserver.ThreadingTCPServer):
    """A port of this machine's loopback that leads to a part's pods, while this process lives.

    Each connection goes to a pod that is ready at that moment, which ``pods`` gives: a restarted
    pod breaks the connections that it had, and the next one finds the new pod. Of several pods each
    gets its turn, as a Service does it; ``sticky``: one gets all, for as long as it is ready.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, api: Api, pods: Callable[[], list[Object]], port: int, *, sticky: bool = False
    ) -> None:
        self._api = api
        self._pods = pods
        self._port = port
        self._sticky = sticky
        self._turns = itertools.count()
        self._last = ""
        super().__init__((LOOPBACK, 0), socketserver.BaseRequestHandler)
        self.address: str = f"{LOOPBACK}:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, name=f"forward {port}", daemon=True).start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Carry one connection; whatever goes wrong, the caller sees a connection that broke."""
        with contextlib.suppress(Exception):
            pod = self.next_pod()
            if not pod:
                return
            there = self._connect(pod)
            ended = False
            try:
                ended = _carry(request, there.socket(self._port))
            finally:
                _drain(there.socket(self._port))
                there.close()
                if ended:
                    # The client (36.0.3) leaves its connection open when the other side's end came
                    # as a close frame.
                    there.websocket.shutdown()

    def next_pod(self) -> str:
        """The pod whose turn it is, or "" when none is ready."""
        names = sorted(str(pod["metadata"]["name"]) for pod in self._pods())
        if not names:
            return ""
        if not self._sticky or self._last not in names:
            self._last = names[next(self._turns) % len(names)]
        return self._last

    def _connect(self, pod: str) -> Any:
        with _one_at_a_time:
            own = client.ApiClient(self._api.client.configuration)
            call = client.CoreV1Api(own).connect_get_namespaced_pod_portforward
            return portforward(call, pod, self._api.namespace, ports=str(self._port))


def _drain(there: Any) -> None:
    """Say that nothing more comes, and read what was sent until then.

    The client (36.0.3) has a thread for each connection. Closed with something unread, its socket
    gives that thread an error: it ends with a traceback, and leaves its connection open.
    """
    with contextlib.suppress(OSError):
        there.shutdown(socket.SHUT_WR)
        while there.recv(65536):
            pass


def _carry(here: socket.socket, there: Any) -> bool:
    """Copy both ways until either side ends; gives whether it was the pod's."""
    here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with selectors.DefaultSelector() as ready:
        ready.register(here, selectors.EVENT_READ, there)
        ready.register(there.fileno(), selectors.EVENT_READ, here)
        while True:
            for key, _ in ready.select():
                source = here if key.fileobj is here else there
                data = source.recv(65536)
                if not data:
                    return source is there
                key.data.sendall(data)


def served(ingress: Object | None) -> str:
    """The host at which a controller serves this Ingress, or "" when none has taken it."""
    taken = ((ingress or {}).get("status") or {}).get("loadBalancer") or {}
    return str((ingress or {})["spec"]["rules"][0]["host"]) if taken.get("ingress") else ""


def admitted(route: Object | None) -> str:
    """The host at which a router serves this Route, or "" when none does."""
    for ingress in ((route or {}).get("status") or {}).get("ingress") or []:
        if objects.condition({"status": ingress}, "Admitted"):
            return str(ingress["host"])
    return ""


def seconds_of(route: Object) -> float:
    """How long a Route or an Ingress lets an answer take; one that is no time does not count."""
    key = NGINX if route.get("kind") == "Ingress" else HAPROXY
    annotation = (route["metadata"].get("annotations") or {}).get(key, "")
    said = re.fullmatch(r"(\d+)(us|ms|s|m|h|d)?", annotation)
    if said is None:
        return DEFAULTS[key]
    return int(said[1]) * UNITS[said[2] or ("s" if key == NGINX else "ms")]
