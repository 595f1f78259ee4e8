"""Which proxy leads to an address, for every way in which the variables are written."""

from __future__ import annotations

import pytest
from workshop.core import proxies
from workshop.core.errors import SettingsError
from workshop.core.secret import Secret

URL = "https://model.example.test:8443/v1"
PROXY = "http://proxy.example.test:3128"


def found(url: str = URL, **env: str) -> str | None:
    proxy = proxies.of(url, env)
    return proxy.url if proxy else None


@pytest.mark.parametrize(
    ("url", "env", "proxy"),
    [
        (URL, {}, None),
        (URL, {"HTTPS_PROXY": PROXY}, PROXY),
        (URL, {"https_proxy": PROXY, "HTTPS_PROXY": "http://other:1"}, PROXY),
        (URL, {"https_proxy": " ", "HTTPS_PROXY": PROXY}, PROXY),
        (URL, {"HTTP_PROXY": PROXY}, None),
        (URL, {"ALL_PROXY": PROXY}, PROXY),
        (URL, {"all_proxy": "proxy.example.test:3128"}, PROXY),
        (URL, {"HTTPS_PROXY": "https://proxy"}, "https://proxy:443"),
        (URL, {"HTTPS_PROXY": "http://[fd00::1]:3128"}, "http://[fd00::1]:3128"),
        ("http://model.example.test", {"HTTP_PROXY": PROXY, "HTTPS_PROXY": "x"}, PROXY),
    ],
)
def test_the_variables(url, env, proxy):
    assert found(url, **env) == proxy


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:8080", "http://127.8.8.8", "https://localhost", "http://[::1]:2"),
        *("http://model-predictor.here.svc:8080", "https://model.here.svc.cluster.local"),
    ],
)
def test_loopback_and_services_have_none(url):
    every = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), "socks5://127.0.0.1:9")
    assert found(url, **every) is None


@pytest.mark.parametrize(
    ("url", "entry", "direct"),
    [
        (URL, "*", True),
        (URL, "model.example.test", True),
        (URL, "MODEL.Example.test", True),
        (URL, "example.test", True),
        (URL, ".example.test", True),
        (URL, "*.example.test", True),
        (URL, "ample.test", False),
        (URL, "model.example.test:8443", True),
        (URL, "model.example.test:443", False),
        (URL, "other.test, example.test", True),
        (URL, "fd00:1234::/32", False),
        (URL, "10.0.0.0/99,[,:,example.test", True),
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://10.1.2.3", "10.1.2", False),
        ("https://11.1.2.3", "10.0.0.0/8", False),
        ("https://[fd00:1234::7]:8443", "localhost,fd00:1234::/32", True),
        ("https://[fd00:1234::7]:8443", "[fd00:1234::7]:8443", True),
        ("https://[fd00:1234::7]:8443", "[fd00:1234::7]:1", False),
        ("https://[fd00:99::7]", "fd00:1234::/32", False),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_what_needs_no_proxy(url, entry, direct, name):
    assert found(url, HTTPS_PROXY=PROXY, **{name: entry}) == (None if direct else PROXY)


@pytest.mark.parametrize(
    ("value", "state"),
    [
        (
            "socks5h://me:canary@proxy:1080",
            "it is a SOCKS proxy (socks5h://): only HTTP proxies can be used",
        ),
        ("ftp://me:canary@proxy", "it is not a proxy's URL"),
        ("http://me:canary@proxy:port", "it is not a proxy's URL"),
        ("http://", "it is not a proxy's URL"),
    ],
)
def test_what_is_no_http_proxy_is_refused_and_its_login_not_shown(value, state):
    with pytest.raises(SettingsError) as error:
        found(HTTPS_PROXY=value)
    assert str(error.value) == (
        "The proxy cannot be used.\n"
        "  Where: HTTPS_PROXY\n"
        f"  Last state: {state}\n"
        "  Hint: name an HTTP proxy (http://host:port), or unset it; NO_PROXY lists the hosts that "
        "need none"
    )


def test_a_login_is_sent_and_shows_nowhere():
    env = {"HTTPS_PROXY": "http://m%40e:p%3Aw%2F1@proxy:3128"}
    proxy = proxies.of(URL, env)
    assert proxy is not None
    assert proxy.login == ("m@e", "p:w/1")
    assert proxy.whole == env["HTTPS_PROXY"]
    assert "p:w" not in repr(proxy) + proxy.url
    assert proxies.secrets(env) == [Secret("p:w/1")]


def test_what_a_program_is_told():
    env = {"HTTPS_PROXY": PROXY, "HTTP_PROXY": "socks5://x:1", "NO_PROXY": "fd00:1234::/32"}
    direct = "127.0.0.1,localhost,::1"
    told = {"https_proxy": PROXY, "no_proxy": f"{direct},db.test"}
    asked = [URL, "http://db.test:19530"]
    env["NO_PROXY"] += ",db.test"
    assert proxies.environment(asked, env) == told | {k.upper(): v for k, v in told.items()}
    assert proxies.environment(["http://127.0.0.1:8080"], env) == {}
    assert proxies.environment([], env) == {}
