"""Notebook 08: the network is closed but for what is declared, and every connection is tried.

The Routes too, for real: certificate, redirect, and what browsers are told.
"""

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from workshop.clients import http
from workshop.core.checks import Check, Checks
from workshop.core.errors import EndpointError
from workshop.core.progress import stages
from workshop.core.table import Table
from workshop.operate.credentials import REFUSED, Rotation
from workshop.parts import llama_stack
from workshop.parts.catalog import ALL
from workshop.targets import network
from workshop.targets.base import PATIENCE, Endpoint, Route, Target, is_yours, runs
from workshop.targets.spec import choices_of

LEFT = 7  # Days for which a certificate must still be good.
REFUSALS = ("unauthorized", REFUSED)  # How a part begins that lets nobody in.


def declared_network(target: Target) -> network.Matrix:
    """Show which part may connect to which, as declared; nothing is tried yet."""
    return target.network.declared()


def secure_network(target: Target) -> list[str]:
    """Refuse every connection that is not declared; returns the names of the policies.

    Raises ``StepMissing`` where no part was deployed.
    """
    uri = choices_of(target, llama_stack.PART).get("milvus_uri")
    with stages("Network") as stage:
        return target.network.isolate({"milvus": Endpoint(uri)} if uri else {}, stage=stage)


def probe_network(target: Target) -> network.Matrix:
    """Try every connection between the parts for real, and remove the probes again.

    Raises ``PartFailed`` where a probe could not run, ``PartTooSlow`` where it was not up in time.
    """
    with stages("Network") as stage:
        return target.network.tried(stage=stage)


@dataclass(frozen=True)
class SeenRoute:
    """A Route or Ingress as it answers from here."""

    name: str  # The object's kind and name.
    url: str
    tls: str  # Where TLS ends, and who signed the certificate.
    expires: str  # The certificate's last day, and how many are left.
    plain: str  # What plain HTTP gets.
    hsts: str  # What browsers are told about HTTPS, or "".
    timeout: str  # How long an answer may take.


def list_routes(target: Target) -> Table[SeenRoute]:
    """List the Routes and Ingresses of the parts, each with its answer to this machine.

    Raises ``EndpointError`` where one does not answer, or its certificate is not good.
    """
    return Table(ask_route(route) for route in target.network.routes())


def verify_network(
    target: Target, tried: network.Matrix, rotation: Rotation | None = None
) -> Checks:
    """Prove that every connection is as declared, that no part is open, and that TLS is right.

    ``tried`` is what ``probe_network`` saw, ``rotation`` what ``rotate_credentials`` did. Raises
    ``CheckFailed``.
    """
    checks = Checks("Network")
    for one in tried:
        expected = "open" if one.allowed else "refused"
        seen = one.seen if one.agrees or one.allowed else "open, and is not declared"
        checks.add(Check(one.name, one.agrees, expected, seen, 0.0))
    for spec in ALL:
        asked = spec.refusal or spec.secured
        if not asked or is_yours(target, spec.name) or not runs(target, spec.name):
            continue
        if spec.refusal:
            name = f"{spec.name} refuses requests without a credential"
            said = partial(spec.refusal, target)
            checks.that(name, REFUSED, said, lambda seen: seen.startswith(REFUSALS))
        if spec.secured:
            spec.secured(target, checks)
    check_routes(target.network.routes(), checks)
    for row in rotation.rows if rotation else []:
        if not row.skipped:
            right = row.old.startswith(REFUSED)
            name = f"{row.part} refuses its old credential"
            checks.add(Check(name, right, REFUSED, row.old, row.seconds))
    return checks.raise_if_failed()


def check_routes(found: Iterable[Route], checks: Checks) -> None:
    """Add what must be so of every Route: TLS ends in the right place, and none is plain."""
    for route in found:
        name = route.name
        wanted = "reencrypt" if route.serves_tls else "edge"
        checks.equal(f"{name} ends TLS", wanted, partial(str, route.termination))
        checks.that(
            f"{name} waits for an agent's answer",
            f"{PATIENCE:g} s or more",
            partial(float, route.timeout),
            lambda seen: seen >= PATIENCE,
            show=lambda seen: f"{seen:g} s",
            hint="annotate it: haproxy.router.openshift.io/timeout: 300s",
        )
        if not _is_known(route.endpoint):
            continue
        checks.that(
            f"{name} has a certificate that is verified, and lasts",
            f"{LEFT} days or more",
            lambda one=route: _days_left(_certificate(one.endpoint)),  # type: ignore[misc]
            lambda seen: seen >= LEFT,
            show=lambda seen: f"{seen} days",
            hint="renew the router's certificate",
        )
        checks.that(
            f"{name} redirects plain HTTP",
            "to https://",
            partial(plain_http, route.endpoint),
            lambda seen: " to https://" in seen,
            hint="insecureEdgeTerminationPolicy: Redirect",
        )
        if not route.ours:
            continue  # an operator would take the annotation away again
        checks.that(
            f"{name} tells browsers to use only HTTPS",
            "max-age=...",
            partial(hsts, route),
            lambda seen: seen.startswith("max-age="),
            show=lambda seen: seen or "nothing",
            hint="annotate it: haproxy.router.openshift.io/hsts_header: max-age=31536000",
        )


def ask_route(route: Route) -> SeenRoute:
    """What one of them answers; a certificate that is not good is an ``EndpointError``."""
    url, limit = route.endpoint.url, f"{route.timeout:g} s"
    if not _is_known(route.endpoint):
        unknown = f"not asked: {urlsplit(url).hostname} is not known on this machine"
        return SeenRoute(route.name, url, route.termination, "", unknown, "", limit)
    found = _certificate(route.endpoint)
    issuer = {key: value for pair in found.get("issuer", ()) for key, value in pair}
    signed = issuer.get("commonName") or issuer.get("organizationName", "?")
    tls = f"{route.termination}, signed by {signed}"
    expires = f"{_last_day(found):%Y-%m-%d}, in {_days_left(found)} days"
    plain = plain_http(route.endpoint)
    return SeenRoute(route.name, url, tls, expires, plain, hsts(route), limit)


def plain_http(endpoint: Endpoint) -> str:
    """What plain HTTP gets: ``HTTP 302 to https://...`` is right."""
    try:
        reply = http.call(Endpoint(endpoint.url.replace("https:", "http:", 1)), "/", timeout=10)
    except EndpointError as error:
        return error.state or error.what
    return f"HTTP {reply.status}, an answer without TLS"


def hsts(route: Route) -> str:
    """What browsers are told: the header Strict-Transport-Security, or ""."""
    # Who speaks TLS itself is the proxy before the model, which wants a token first.
    wanted = 401 if route.serves_tls else None
    headers = http.call(route.endpoint, "/v1/health", expect=wanted).headers
    return str(headers.get("strict-transport-security", ""))


def _is_known(endpoint: Endpoint) -> bool:
    """Whether its host's name is known on this machine."""
    try:
        return bool(socket.getaddrinfo(urlsplit(endpoint.url).hostname, endpoint.port))
    except OSError:
        return False


def _certificate(endpoint: Endpoint) -> dict[str, Any]:
    """The certificate, verified, as ``ssl`` reads it."""
    host = urlsplit(endpoint.url).hostname
    try:
        with (
            socket.create_connection((host, endpoint.port), timeout=10) as plain,
            http.tls(endpoint).wrap_socket(plain, server_hostname=host) as secure,
        ):
            return dict(secure.getpeercert() or {})
    except OSError as error:
        raise http.unreachable(endpoint.url, error, 10) from error


def _last_day(found: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), UTC)


def _days_left(found: dict[str, Any]) -> int:
    return (_last_day(found) - datetime.now(UTC)).days
