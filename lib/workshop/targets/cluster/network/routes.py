"""Routes from outside: those that lead to a part's Service, and the kit's Ingress."""

from __future__ import annotations

import re
from collections.abc import Mapping

from workshop.targets.base import Endpoint, Front
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.endpoints import Endpoints, Location, admitted, served
from workshop.targets.cluster.manifests import ROUTE

HAPROXY = "haproxy.router.openshift.io/timeout"
NGINX = "nginx.ingress.kubernetes.io/proxy-read-timeout"

DEFAULTS = {HAPROXY: 30.0, NGINX: 60.0}
"""Seconds that a router, or ingress-nginx, gives an answer unless it is told."""

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""HAProxy's, in seconds; without one it means milliseconds. nginx's annotation has bare seconds."""


def found(api: Api, endpoints: Endpoints, parts: Mapping[str, Location]) -> list[Front]:
    """Those that a router or a controller serves, also what OpenShift AI has made for a model."""
    services = {location.service: location for location in parts.values()}
    routes = []
    for route in api.list(*ROUTE):
        location, host = services.get(route["spec"]["to"]["name"]), admitted(route)
        if location and host:
            tls = route["spec"].get("tls") or {}
            entry = Front(
                f"Route {route['metadata']['name']}",
                Endpoint(f"https://{host}", ca_file=endpoints.router_ca()),
                str(tls.get("termination", "")),
                location.scheme == "https",
                seconds(route),
                ours=not objects.is_owned(route),
            )
            routes.append(entry)
    for location in parts.values():
        name = location.ingress
        ingress = api.get("networking.k8s.io/v1", "Ingress", name) if name else None
        if ingress and (host := served(ingress)):
            termination = "edge" if ingress["spec"].get("tls") else ""
            is_tls = location.scheme == "https"
            endpoint = Endpoint(f"https://{host}")
            routes.append(Front(f"Ingress {name}", endpoint, termination, is_tls, seconds(ingress)))
    return routes


def seconds(found: Object) -> float:
    """How long a Route or an Ingress lets an answer take; one that is no time does not count."""
    key = NGINX if found.get("kind") == "Ingress" else HAPROXY
    annotation = (found["metadata"].get("annotations") or {}).get(key, "")
    said = re.fullmatch(r"(\d+)(us|ms|s|m|h|d)?", annotation)
    if said is None:
        return DEFAULTS[key]
    return int(said[1]) * UNITS[said[2] or ("s" if key == NGINX else "ms")]
