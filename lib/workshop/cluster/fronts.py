"""The ways in from outside: the Routes that lead to a part's Service, and the kit's Ingress."""

from __future__ import annotations

import re
from collections.abc import Mapping

from workshop.cluster import objects
from workshop.cluster.api import Api
from workshop.cluster.reach import Reach, Way, admitted, served
from workshop.cluster.recipes import ROUTE
from workshop.cluster.transport import Object
from workshop.target import Endpoint, Front

TIMEOUTS = (
    "haproxy.router.openshift.io/timeout",
    "nginx.ingress.kubernetes.io/proxy-read-timeout",
)

ROUTER = 30.0
"""Seconds that OpenShift's router gives an answer, unless the Route says otherwise."""

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""HAProxy's, in seconds; without one it means milliseconds."""


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


def seconds(route: Object) -> float:
    """How long a Route lets an answer take; the router's own 30 seconds when it does not say."""
    said = re.fullmatch(
        r"(\d+)(us|ms|s|m|h|d)?", _timeout(route["metadata"].get("annotations") or {})
    )
    if said is None:
        return ROUTER
    return int(said[1]) * UNITS[said[2] or "ms"]
