"""The ways in from outside, asked for real: certificate, redirect, and what browsers are told."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from workshop.clients import http
from workshop.core.checks import Checks
from workshop.core.errors import EndpointError
from workshop.core.table import Table
from workshop.targets.base import PATIENCE, Endpoint, Route, Target

LEFT = 7
"""Days for which a certificate must still be good."""


@dataclass(frozen=True)
class Door:
    """A way in from outside, as it answers.

    Args:
        name: The object's kind and name.
        url: Where.
        tls: Where TLS ends, and who signed the certificate.
        expires: The certificate's last day, and how many are left.
        plain: What plain HTTP gets.
        hsts: What browsers are told about HTTPS, or "".
        timeout: How long an answer may take.
    """

    name: str
    url: str
    tls: str
    expires: str
    plain: str
    hsts: str
    timeout: str


def list_routes(target: Target) -> Table[Door]:
    """List the Routes and Ingresses of the parts, each with what it answers from here.

    Raises:
        EndpointError: One does not answer, or its certificate is not good.
    """
    return Table(look(route) for route in target.network.routes())


def check(found: Iterable[Route], checks: Checks) -> None:
    """Add what must be so of every way in: TLS ends in the right place, and none is plain."""
    for route in found:
        wanted = "reencrypt" if route.serves_tls else "edge"
        checks.equal(f"{route.name} ends TLS", wanted, lambda one=route: one.termination)  # type: ignore[misc]
        checks.that(
            f"{route.name} waits for an agent's answer",
            f"{PATIENCE:g} s or more",
            lambda one=route: one.timeout,  # type: ignore[misc]
            lambda seen: seen >= PATIENCE,
            show=lambda seen: f"{seen:g} s",
            hint="annotate it: haproxy.router.openshift.io/timeout: 300s",
        )
        if not is_known(route.endpoint):
            continue
        checks.that(
            f"{route.name} has a certificate that is verified, and lasts",
            f"{LEFT} days or more",
            lambda one=route: _left(certificate(one.endpoint)),  # type: ignore[misc]
            lambda seen: seen >= LEFT,
            show=lambda seen: f"{seen} days",
            hint="renew the router's certificate",
        )
        checks.that(
            f"{route.name} redirects plain HTTP",
            "to https://",
            lambda one=route: plain(one.endpoint),  # type: ignore[misc]
            lambda seen: " to https://" in seen,
            hint="insecureEdgeTerminationPolicy: Redirect",
        )
        if not route.ours:
            continue  # an operator would take the annotation away again
        checks.that(
            f"{route.name} tells browsers to ask for HTTPS alone",
            "max-age=...",
            lambda one=route: strict(one) or "nothing",  # type: ignore[misc]
            lambda seen: seen.startswith("max-age="),
            hint="annotate it: haproxy.router.openshift.io/hsts_header: max-age=31536000",
        )


def is_known(endpoint: Endpoint) -> bool:
    """Whether its host's name is known on this machine."""
    try:
        socket.getaddrinfo(urlsplit(endpoint.url).hostname, endpoint.port)
    except OSError:
        return False
    return True


def certificate(endpoint: Endpoint) -> dict[str, Any]:
    """The certificate, verified, as ``ssl`` reads it.

    Raises:
        EndpointError: There is no connection, or the certificate is not good.
    """
    host = urlsplit(endpoint.url).hostname
    try:
        with (
            socket.create_connection((host, endpoint.port), timeout=10) as plain_socket,
            http.tls(endpoint).wrap_socket(plain_socket, server_hostname=host) as secure,
        ):
            return dict(secure.getpeercert() or {})
    except OSError as error:
        raise http.unreachable(endpoint.url, error, 10) from error


def plain(endpoint: Endpoint) -> str:
    """What plain HTTP gets: ``HTTP 302 to https://...`` is right."""
    try:
        reply = http.call(Endpoint(endpoint.url.replace("https:", "http:", 1)), "/", timeout=10)
    except EndpointError as error:
        return error.state or error.what
    return f"HTTP {reply.status}, an answer in the clear"


def strict(route: Route) -> str:
    """What browsers are told: the header Strict-Transport-Security, or "".

    Raises:
        EndpointError: It does not answer.
    """
    # Who speaks TLS itself is the proxy before the model, which wants a token first.
    wanted = 401 if route.serves_tls else None
    headers = http.call(route.endpoint, "/v1/health", timeout=10, expect=wanted).headers
    return str(headers.get("strict-transport-security", ""))


def look(route: Route) -> Door:
    """Ask one of them.

    Raises:
        EndpointError: It does not answer, or its certificate is not good.
    """
    endpoint, host = route.endpoint, urlsplit(route.endpoint.url).hostname
    limit = f"{route.timeout:g} s"
    if not is_known(endpoint):
        unknown = f"not asked: {host} is not known on this machine"
        return Door(route.name, endpoint.url, route.termination, "", unknown, "", limit)
    found = certificate(endpoint)
    issuer = {key: value for pair in found.get("issuer", ()) for key, value in pair}
    signed = issuer.get("commonName") or issuer.get("organizationName", "?")
    last = datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), UTC)
    return Door(
        route.name,
        endpoint.url,
        f"{route.termination}, signed by {signed}",
        f"{last:%Y-%m-%d}, in {_left(found)} days",
        plain(endpoint),
        strict(route),
        limit,
    )


def _left(found: dict[str, Any]) -> int:
    last = datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), UTC)
    return (last - datetime.now(UTC)).days
