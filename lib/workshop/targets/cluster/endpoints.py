"""How a part is reached from where this code runs.

In a pod of the cluster: by the Service's DNS name. From outside: by the Route, if its host is known
here; else by a forwarded port of this machine's loopback.
"""

from __future__ import annotations

import atexit
import base64
import json
import shutil
import socket
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from workshop.core.errors import PartFailed
from workshop.core.secret import Secret
from workshop.targets.base import Endpoint, Part
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.errors import Forbidden
from workshop.targets.cluster.manifests import Plan
from workshop.targets.cluster.portforward import Forward

ROUTER_CA = ("openshift-config-managed", "default-ingress-cert", "ca-bundle.crt")
"""Where OpenShift shows the CA of its router to everybody: namespace, ConfigMap, key."""


@dataclass(frozen=True)
class Way:
    """What is kept of a plan, so that another notebook finds the part. No credential is in it."""

    deployment: str
    pods: dict[str, str]
    service: str
    port: int
    scheme: str
    also: dict[str, int] = field(default_factory=dict)
    user: str = ""
    credential: str = ""
    token: tuple[str, str] | None = None
    ca: tuple[str, str] | None = None
    route: str = ""
    ingress: str = ""
    sticky: bool = False

    @classmethod
    def of(cls, plan: Plan, part: Part) -> Way:
        """The way to a part; ``credential`` names the one that the kit keeps."""
        return cls(
            deployment=plan.deployment,
            pods=dict(plan.pods),
            service=plan.service,
            port=plan.port,
            scheme=plan.scheme,
            also=dict(plan.also),
            user=plan.user,
            credential=part.credential,
            token=plan.token,
            ca=plan.ca,
            route=plan.route,
            ingress=plan.ingress,
            sticky=_is_sticky(plan),
        )

    def text(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Way:
        """From what was kept."""
        content = json.loads(text)
        for pair in ("token", "ca"):
            content[pair] = tuple(content[pair]) if content[pair] else None
        return cls(**content)


class Reach:
    """Makes endpoints, and keeps the forwarded ports of this process.

    Args:
        api: The cluster.
        kept: Gives the credential of this name, where the kit keeps it.
    """

    def __init__(self, api: Api, kept: Callable[[str], Secret | None]) -> None:
        self._api = api
        self._kept = kept
        self._forwards: dict[tuple[str, int], Forward] = {}
        self._tokens: dict[tuple[str, str], Secret] = {}
        self._ports: dict[str, int] = {}
        self._authorities: dict[tuple[str, str], Path] = {}
        self._folder: Path | None = None

    def endpoint(self, way: Way, ready: Callable[[], list[Object]]) -> Endpoint:
        """How to reach it; ``ready`` gives its pods that are ready.

        Raises:
            PartFailed: Its credential or its CA is not where the cluster keeps it.
        """
        inside = self.peer(way).url
        credential = self._credential(way)
        if self._api.inside:
            url = inside
            also = {name: f"http://{self._host(way)}:{port}" for name, port in way.also.items()}
        else:
            url = f"{way.scheme}://{self._forwarded(way, way.port, ready)}"
            also = {
                name: f"http://{self._forwarded(way, port, ready)}"
                for name, port in way.also.items()
            }
        routed = self._routed(way)
        ca = self._ca(*way.ca) if way.ca else None
        # A credential with a user is a password, else a token.
        database = bool(way.user)
        return Endpoint(
            routed or url,
            token=None if database else credential,
            user=way.user,
            password=credential if database else None,
            ca_file=self.router_ca() if routed and way.route else ca,
            also=also,
            inside=inside,
            server_name=self._host(way) if way.scheme == "https" and not routed else "",
        )

    def replica(self, way: Way, pod: Object, ready: Callable[[], list[Object]]) -> Endpoint:
        """How to reach this pod of it by itself."""
        name, address = str(pod["metadata"]["name"]), str(pod["status"]["podIP"])

        def place(port: int) -> str:
            if self._api.inside:
                return f"{address}:{port}"
            return self._forward((name, port), lambda: [p for p in ready() if _name(p) == name])

        whole = self.endpoint(replace(way, route="", ingress=""), ready)
        return replace(
            whole,
            url=f"{way.scheme}://{place(way.port)}",
            also={key: f"http://{place(port)}" for key, port in way.also.items()},
        )

    def peer(self, way: Way) -> Endpoint:
        """How other parts reach it, whether it runs already or not; without its credential."""
        return Endpoint(
            f"{way.scheme}://{self._host(way)}:{self._service_port(way)}", user=way.user
        )

    def _host(self, way: Way) -> str:
        return f"{way.service}.{self._api.namespace}.svc.cluster.local"

    def _service_port(self, way: Way) -> int:
        """The port on which the Service answers. A headless one leads to the pods' own port."""
        if way.service not in self._ports:
            service = self._api.get("v1", "Service", way.service)
            if service is None:
                return way.port
            self._ports[way.service] = _port(service, way.port)
        return self._ports[way.service]

    def _forwarded(self, way: Way, port: int, ready: Callable[[], list[Object]]) -> str:
        return self._forward((way.service, port), ready, sticky=way.sticky)

    def _forward(
        self, key: tuple[str, int], ready: Callable[[], list[Object]], *, sticky: bool = False
    ) -> str:
        if key not in self._forwards:
            self._forwards[key] = Forward(self._api, ready, key[1], sticky=sticky)
        return self._forwards[key].address

    def _credential(self, way: Way) -> Secret | None:
        if way.token is None:
            return self._kept(way.credential) if way.credential else None
        return self.token(way.token)

    def forget_token(self, where: tuple[str, str]) -> None:
        """Read the token anew when it is next asked for."""
        self._tokens.pop(where, None)

    def token(self, where: tuple[str, str]) -> Secret:
        """The token that the cluster has made in this Secret, under this key.

        Raises:
            PartFailed: It has not.
        """
        if where not in self._tokens:
            name, key = where
            kept = self._api.get("v1", "Secret", name)
            value = ((kept or {}).get("data") or {}).get(key)
            if not value:
                raise PartFailed(
                    f"The cluster has not made the token in the Secret {name}.",
                    where=self._api.where,
                    state=f"its key {key} is missing",
                    hint="run this notebook again; kubectl describe secret " + name,
                )
            self._tokens[where] = Secret(base64.b64decode(value).decode())
        return self._tokens[where]

    def _routed(self, way: Way) -> str:
        """The URL from outside, if a router serves it and its host is known here."""
        host = ""
        if way.route and not self._api.inside:
            host = admitted(self._api.get("route.openshift.io/v1", "Route", way.route))
        elif way.ingress and not self._api.inside:
            host = served(self._api.get("networking.k8s.io/v1", "Ingress", way.ingress))
        if not host:
            return ""
        try:
            socket.getaddrinfo(host, 443)
        except OSError:
            return ""
        return f"https://{host}"

    def router_ca(self) -> Path | None:
        """The router's CA; None, the system's, where it is not shown, as with a public one."""
        namespace, name, key = ROUTER_CA
        try:
            return self._ca(name, key, namespace)
        except Forbidden:
            # Then it is not meant to be needed: the certificate is one that everybody knows.
            return None

    def _ca(self, name: str, key: str, namespace: str = "") -> Path | None:
        if (namespace, name) not in self._authorities:
            kept = self._api.get("v1", "ConfigMap", name, namespace)
            text = ((kept or {}).get("data") or {}).get(key)
            if not text:
                return None
            self._authorities[namespace, name] = self.ca_file(name, text)
        return self._authorities[namespace, name]

    def ca_file(self, name: str, text: str) -> Path:
        """A file with this CA, for as long as this process lives."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="workshop-ca-"))
            # Not with this object: an endpoint that names the file may outlive it.
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / f"{name}.pem"
        path.write_text(text, encoding="utf-8")
        return path


def _is_sticky(plan: Plan) -> bool:
    """Whether the part's Service keeps a client with the pod that it had."""
    return any(
        thing["kind"] == "Service" and thing["spec"].get("sessionAffinity") == "ClientIP"
        for thing in plan.objects
    )


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _port(service: Object, wanted: int) -> int:
    if service["spec"].get("clusterIP") == "None":
        return wanted
    ports = service["spec"].get("ports") or []
    for port in ports:
        if wanted in (port["port"], port.get("targetPort")):
            return int(port["port"])
    return int(ports[0]["port"]) if len(ports) == 1 else wanted


def served(ingress: Object | None) -> str:
    """The host at which a controller serves this Ingress, or "" when none has taken it."""
    taken = ((ingress or {}).get("status") or {}).get("loadBalancer") or {}
    return str((ingress or {})["spec"]["rules"][0]["host"]) if taken.get("ingress") else ""


def admitted(route: Object | None) -> str:
    """The host at which a router serves this Route, or "" when none does."""
    for ingress in ((route or {}).get("status") or {}).get("ingress") or []:
        for condition in ingress.get("conditions") or []:
            if condition["type"] == "Admitted" and condition["status"] == "True":
                return str(ingress["host"])
    return ""
