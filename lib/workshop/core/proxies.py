"""Which proxy leads to an address: what the environment says, by the rules that curl keeps.

Clients differ in these rules, and some raise on entries that others take: httpx on an IPv6 network
in ``NO_PROXY``, or on ``ALL_PROXY=socks5://`` even for loopback. So the kit decides by itself, and
tells each client and each part its proxy, or that there is none.
"""

import ipaddress
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from workshop.core.errors import SettingsError
from workshop.core.secret import Secret

LOOPBACK = "127.0.0.1,localhost,::1"  # What no proxy reaches, as `NO_PROXY` has it.


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy."""

    url: str  # Scheme, host and port; without a login, so that it can be shown.
    named: str  # What names it: a variable, or a field of a file.
    user: str = ""  # Sent to it with ``password``, or "".
    password: Secret | None = None  # None where it wants none.

    @property
    def login(self) -> tuple[str, str] | None:
        """User and password, to be sent to it; None where it wants none."""
        return (self.user, self.password.reveal() if self.password else "") if self.user else None

    @property
    def whole(self) -> str:
        """The URL with the login in it: handed to a program, and never shown."""
        if not self.login:
            return self.url
        user, password = (quote(word, safe="") for word in self.login)
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{user}:{password}@{rest}"


def of(url: str, env: Mapping[str, str] = os.environ) -> Proxy | None:
    """The proxy that leads to this URL, or None: loopback, Services, and what ``NO_PROXY`` names.

    Read are ``HTTPS_PROXY`` or ``HTTP_PROXY``, by the URL's scheme, then ``ALL_PROXY``; small
    letters come first, as with curl.

    Raises:
        SettingsError: The variable names no HTTP proxy.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if _is_near(host) or _is_direct(host, parts.port, env):
        return None
    for word in (f"{parts.scheme}_proxy", "all_proxy"):
        for name in (word, word.upper()):
            if env.get(name, "").strip():
                return read(env[name], name)
    return None


def for_server(url: str, env: Mapping[str, str]) -> Proxy | None:
    """As ``of``, for an API server: kubectl does not read ``ALL_PROXY``."""
    return of(url, {name: value for name, value in env.items() if name.lower() != "all_proxy"})


def read(value: str, named: str) -> Proxy:
    """A proxy as it is written: ``http://user:password@host:port``, or ``host:port``.

    Raises:
        SettingsError: It is none, or no HTTP proxy. The text holds no login.
    """
    text = value.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        scheme, host = parts.scheme, parts.hostname
        port = parts.port or {"http": 80, "https": 443}.get(scheme)
    except ValueError:
        scheme, host, port = "", None, None
    if scheme.startswith("socks"):
        raise _unusable(named, f"it is a SOCKS proxy ({scheme}://): only HTTP proxies can be used")
    if scheme not in ("http", "https") or not host:
        raise _unusable(named, "it is not a proxy's URL")
    shown = f"[{host}]" if ":" in host else host
    return Proxy(
        f"{scheme}://{shown}:{port}",
        named,
        unquote(parts.username or ""),
        Secret(unquote(parts.password)) if parts.password else None,
    )


def environment(urls: Iterable[str], env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a program that asks these addresses must see, for it to go the way that the kit goes.

    Empty when none of them has a proxy: the program then knows of no proxy at all.
    """
    found: dict[str, str] = {}
    direct = [LOOPBACK]
    for url in urls:
        proxy = of(url, env)
        if proxy:
            found[f"{urlsplit(url).scheme}_proxy"] = proxy.whole
        else:
            direct.append(urlsplit(url).hostname or "")
    if found:
        found["no_proxy"] = ",".join(dict.fromkeys(filter(None, direct)))
    return found | {name.upper(): value for name, value in found.items()}


def secrets(env: Mapping[str, str] = os.environ) -> list[Secret]:
    """The passwords in the environment's proxies, to be masked in whatever is shown."""
    named = [value for name, value in env.items() if name.lower().endswith("_proxy")]
    logins = [value.rpartition("@")[0].partition("://")[2] for value in named if "@" in value]
    words = {unquote(login.partition(":")[2]) for login in logins}
    return [Secret(word) for word in words if word]


def _is_near(host: str) -> bool:
    """Loopback, or a Service: only a cluster's own pods know its name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("", "localhost") or host.endswith((".svc", ".svc.cluster.local"))


def _is_direct(host: str, port: int | None, env: Mapping[str, str]) -> bool:
    """Whether ``NO_PROXY`` names it: by name, domain, address or network, each with a port or not.

    An entry that is none of these is passed over, as curl and kubectl do.
    """
    # 30 ms, so not at import. The types do not know it.
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    named = (env.get("no_proxy") or env.get("NO_PROXY") or "").replace(",", " ").split()
    if "*" in named or any(_is_in_network(host, entry) for entry in named):
        return True
    # Names and domains are compared by the standard library, which knows neither "*." nor networks.
    at = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    names = ",".join(entry.removeprefix("*") for entry in named)
    return bool(proxy_bypass_environment(at, {"no": names}))


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _unusable(named: str, state: str) -> SettingsError:
    return SettingsError(
        "The proxy cannot be used.",
        where=named,
        state=state,
        hint="name an HTTP proxy (http://host:port), or unset it; NO_PROXY lists the hosts that "
        "need none",
    )
