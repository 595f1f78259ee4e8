"""The ways in from outside: the Routes that lead to a part's Service, and the kit's Ingress."""

from __future__ import annotations

from collections.abc import Mapping

from workshop.cluster import objects
from workshop.cluster.api import Api
from workshop.cluster.reach import Reach, Way, admitted, served
from workshop.cluster.recipes import ROUTE
from workshop.target import Endpoint, Front

TIMEOUTS = (
    "haproxy.router.openshift.io/timeout",
    "nginx.ingress.kubernetes.io/proxy-read-timeout",
)


def found(api: Api, reach: Reach, parts: Mapping[str, Way]) -> list[Front]:
    """Those that a router or a controller serves.

    A Route that OpenShift AI has made for an exposed model is among them.
    """
    services = {way.service: way for way in parts.values()}
    fronts = []
    for route in api.list(*ROUTE):
        way, host = services.get(route["spec"]["to"]["name"]), admitted(route)
        if way is None or not host:
            continue
        tls = route["spec"].get("tls") or {}
        fronts.append(
            Front(
                f"Route {route['metadata']['name']}",
                Endpoint(f"https://{host}", ca_file=reach.router_ca()),
                str(tls.get("termination", "")),
                way.scheme == "https",
                _timeout(route["metadata"].get("annotations") or {}),
                ours=not objects.is_owned(route),
            )
        )
    for way in parts.values():
        ingress = api.get("networking.k8s.io/v1", "Ingress", way.ingress) if way.ingress else None
        if ingress is None or not served(ingress):
            continue
        fronts.append(
            Front(
                f"Ingress {way.ingress}",
                Endpoint(f"https://{served(ingress)}"),
                "edge" if ingress["spec"].get("tls") else "",
                way.scheme == "https",
                _timeout(ingress["metadata"].get("annotations") or {}),
            )
        )
    return fronts


def _timeout(annotations: Mapping[str, str]) -> str:
    return next((annotations[key] for key in TIMEOUTS if key in annotations), "")
