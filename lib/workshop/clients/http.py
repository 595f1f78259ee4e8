"""One request to a part, and a plain word for each way in which it can go wrong."""

from __future__ import annotations

import json as json_codec
import logging
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workshop.core import proxies
from workshop.core.errors import EndpointError
from workshop.core.proxies import Proxy
from workshop.core.secret import Secret, mask
from workshop.core.wait import answered
from workshop.targets.base import Endpoint

if TYPE_CHECKING:
    import httpx

# llama-stack-client switches logging on when it is imported, and a line for each request would
# then stand between a notebook's results.
for _name in ("httpx", "httpx2", "llama_stack_client"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Reply:
    """What came back. ``secrets`` is what an error's text must not show of it."""

    status: int
    text: str
    url: str
    secrets: tuple[Secret, ...]
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        """The body as JSON; an ``EndpointError``, if it is something else, such as a login page."""
        try:
            return json_codec.loads(self.text)
        except ValueError as error:
            raise not_json(self.url, self.status, mask(self.text, self.secrets)) from error


def tls(endpoint: Endpoint) -> ssl.SSLContext:
    """How certificates are verified: against the endpoint's CA, or else the system's."""
    if not endpoint.url.startswith("https:"):
        # Reading the system's CAs takes 40 ms. Should there be TLS all the same: it trusts nobody.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(cafile=endpoint.ca_file)
    except OSError as error:
        raise EndpointError(
            "The CA file cannot be used.",
            where=str(endpoint.ca_file),
            state=f"{type(error).__name__}: {error}",
            hint="MODEL_CA_FILE must be a PEM file, which starts with -----BEGIN CERTIFICATE-----",
        ).of_kind("tls") from error


def headers(endpoint: Endpoint) -> dict[str, str]:
    """The headers that carry the endpoint's credential."""
    return {"authorization": f"Bearer {endpoint.token.reveal()}"} if endpoint.token else {}


def proxy(endpoint: Endpoint) -> Proxy | None:
    """The environment's proxy, where it leads to an endpoint that is not the kit's own."""
    return proxies.of(endpoint.url) if endpoint.adopted else None


def client(endpoint: Endpoint, timeout: float, **options: Any) -> httpx.Client:
    """What asks an endpoint, through the environment's proxy where it is not the kit's own."""
    import httpx  # a quarter of a second, so not at import

    proxied, way = None, proxy(endpoint)
    if way:
        secure = ssl.create_default_context() if way.url.startswith("https:") else None
        proxied = httpx.Proxy(way.url, auth=way.login, ssl_context=secure)
    return httpx.Client(
        verify=tls(endpoint), timeout=timeout, trust_env=False, proxy=proxied, **options
    )


def call(
    endpoint: Endpoint,
    path: str,
    *,
    json: Mapping[str, Any] | None = None,
    timeout: float = 30.0,
    authorize: bool = True,
    expect: int | None = None,
) -> Reply:
    """POST ``json``, or GET when there is none.

    Args:
        endpoint: Where to.
        path: Below its URL, with a slash in front.
        json: The body.
        timeout: Seconds for each of connecting and answering.
        authorize: Send the credential; False to see whether the part refuses without it.
        expect: This status alone is right; None: any below 400 is.

    Raises ``EndpointError`` with its ``kind``; the text says what to do about it.
    """
    import httpx

    url = endpoint.url + path
    try:
        with client(endpoint, timeout) as asking:
            answer = asking.request(
                "GET" if json is None else "POST",
                url,
                json=json,
                headers=headers(endpoint) if authorize else {},
                # Through a forwarded port the certificate is for the Service's name.
                extensions={"sni_hostname": endpoint.server_name} if endpoint.server_name else {},
            )
    except httpx.HTTPError as error:
        raise unreachable(url, error, timeout, proxy(endpoint)) from error
    # Some servers quote in their refusal the token that they refuse.
    secrets = (endpoint.token,) if endpoint.token else ()
    reply = Reply(answer.status_code, answer.text, url, secrets, answer.headers)
    if answer.has_redirect_location and expect is None:
        raise EndpointError(
            "The server redirects this request.",
            where=url,
            state=f"HTTP {reply.status} to {answer.headers['location'][:200]}",
            hint="check the URL, and http:// or https://; a login page may come before it",
        ).of_kind("protocol")
    right = reply.status < 400 if expect is None else reply.status == expect
    if not right:
        raise refused_with(url, reply.status, mask(reply.text, secrets))
    return reply


def ready(path: str) -> Callable[[Endpoint], object]:
    """A probe for ``Target.ensure``: what a part answers at this path, ``NotYet`` until then."""
    return lambda endpoint: answered(lambda: call(endpoint, path, timeout=5))


LOGIN = "write it into the variable that names the proxy: http://user:password@host:port"

STRANGE = r"invalid (host|origin)|(host|origin)( header)?( is)? not allowed|dns rebinding"
"""What servers say to a host name that they do not know."""


def refused_with(url: str, status: int, text: str) -> EndpointError:
    """The error for an answer with this HTTP status."""
    if status == 403 and re.search(STRANGE, text, re.IGNORECASE):
        # Some servers say so with the status that others have for it.
        status, text = 421, f"(403) {text}"
    kind, what, hint = {
        401: ("unauthorized", "The credential was refused.", "check the token"),
        403: ("unauthorized", "The credential was refused.", "check the token or secret"),
        407: ("proxy", "The proxy asks for a login.", LOGIN),
        404: ("not found", "There is nothing at this address.", "check the URL's path"),
        405: ("protocol", "Such a request is not allowed.", "check the URL's path and its port"),
        421: (
            "protocol",
            "The server does not answer to this host name.",
            "it protects itself from DNS rebinding: let it accept the name of its Service, or of "
            "loopback, by its list of allowed hosts",
        ),
        426: ("protocol", "The versions of client and server do not fit together.", "make setup"),
        429: ("busy", "The server is too busy.", "wait a minute and run this cell again"),
        503: ("busy", "The server is not ready yet.", "wait a minute and run this cell again"),
    }.get(
        status,
        ("server error", "The server failed.", "read its log")
        if status >= 500
        else ("protocol", "The server did not understand the request.", "check the URL"),
    )
    return EndpointError(what, where=url, state=_state(status, text), hint=hint).of_kind(kind)


def not_json(url: str, status: int, text: str) -> EndpointError:
    """The error for an answer that is something else than JSON."""
    what = "The answer is not JSON."
    hint = "check the URL: another program may listen there, or a login page come before it"
    return EndpointError(what, where=url, state=_state(status, text), hint=hint)


def unreachable(
    url: str, error: Exception, timeout: float, way: Proxy | None = None
) -> EndpointError:
    """The error for a request, through this proxy, that got no answer in ``timeout`` seconds."""
    import httpx

    chain = _chain(error)
    text = " ".join(str(link) for link in chain)
    secure = next((link for link in chain if isinstance(link, ssl.SSLError)), None)
    if secure is not None:
        return _not_secure(url, secure)
    if way is not None and isinstance(error, httpx.ProxyError | httpx.ConnectError):
        return _by_proxy(url, error, way)
    kind, what, state = "protocol", "The connection broke.", str(error)
    hint = "workshop status"
    if isinstance(error, httpx.TimeoutException):
        kind, what = "timeout", f"No answer within {timeout:g} s."
        is_connected = not isinstance(error, httpx.ConnectTimeout)
        state = "connected, but no answer came" if is_connected else "no connection was made"
    elif any(isinstance(link, socket.gaierror) for link in chain):
        kind, what, hint = "dns", "The host name is not known.", "check the URL's host"
    elif isinstance(error, httpx.ConnectError):
        kind, what = "refused", "Nothing listens at this address."
    elif "status line" in text:
        what, state = "The server does not speak HTTP.", state[:200]
        hint = "check the URL: another program may listen there, or it wants https://"
    return EndpointError(what, where=url, state=state, hint=hint).of_kind(kind)


def _by_proxy(url: str, error: Exception, way: Proxy) -> EndpointError:
    """The error for a request that its proxy did not take; says so without the proxy's login."""
    import httpx

    what = "The proxy does not answer."
    hint = f"correct or unset {way.named}; NO_PROXY lists the hosts that need no proxy"
    if isinstance(error, httpx.ProxyError):
        what = "The proxy did not let the request through."
        hint = "check the URL's host; may the proxy reach it? NO_PROXY lists those that need none"
        if str(error).startswith("407"):
            what, hint = "The proxy asks for a login.", LOGIN
    state = f"{error}, from the proxy {way.url} in {way.named}"
    return EndpointError(what, where=url, state=state, hint=hint).of_kind("proxy")


def _not_secure(url: str, error: ssl.SSLError) -> EndpointError:
    """The error for a TLS connection that was not made; never fixed by verifying less."""
    what, state, hint = "No TLS connection could be made.", str(error), "check the server's TLS"
    if isinstance(error, ssl.SSLCertVerificationError):
        what, state = "The server's certificate was not verified.", error.verify_message
        # Numbers of OpenSSL: X509_V_ERR_HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH, CERT_HAS_EXPIRED.
        hint = {
            62: "use the host name that the certificate was made for",
            64: "use the host name that the certificate was made for",
            10: "the server needs a new certificate",
        }.get(error.verify_code, "name the CA that signed it, as a PEM file, in MODEL_CA_FILE")
    elif error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        what, hint = "The server does not speak TLS here.", "write http:// instead of https://"
    return EndpointError(what, where=url, state=state, hint=hint).of_kind("tls")


def _state(status: int, text: str) -> str:
    return f"HTTP {status}: {' '.join(text.split())[:300] or '(no text)'}"


def _chain(error: BaseException | None) -> list[BaseException]:
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links
