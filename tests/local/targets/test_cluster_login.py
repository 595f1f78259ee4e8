"""A kubeconfig's fields against real servers and proxies: honoured, or refused by name.

Where a token stands in a kubeconfig here, no output may hold it: each refusal is looked at whole,
with the traceback that Python makes of it.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.stream import ws_client
from standin.openai_server import OpenAIServer, certificate
from standin.proxy import Proxy
from workshop.core.errors import SettingsError, WorkshopError
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.login import connect

pytestmark = pytest.mark.timeout(60)

TOKEN = "canary-4be1f07d2c"
LOGIN = "log in again: oc login, or a new kubeconfig"
READY = {"/readyz": (200, {"ready": True})}

Write = Callable[..., dict[str, str]]


@pytest.fixture(autouse=True)
def _no_proxies_of_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(tls: tuple[Path, Path]) -> Iterator[OpenAIServer]:
    with OpenAIServer(also=READY, certificate=tls[0]) as running:
        yield running


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as running:
        yield running


@pytest.fixture
def write(server: OpenAIServer, tls: tuple[Path, Path], tmp_path: Path) -> Write:
    """Writes a kubeconfig with these fields more; gives an environment that names it."""

    def write(cluster: Any = None, user: Any = None, context: Any = None, **top: Any) -> Any:
        address = server.url.removesuffix("/v1")
        whole = {
            "apiVersion": "v1",
            "kind": "Config",
            "preferences": {},
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {
                "server": address, "certificate-authority": str(tls[1])}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
        }  # fmt: skip
        whole["clusters"][0]["cluster"] |= cluster or {}  # type: ignore[index]
        whole["contexts"][0]["context"] |= context or {}  # type: ignore[index]
        whole["users"][0]["user"] |= user or {}  # type: ignore[index]
        whole |= top
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(whole), encoding="utf-8")
        return {"KUBECONFIG": str(path)}

    return write


def ask(api: Api) -> dict[str, Any]:
    return api.request("GET", "/readyz", what="ask", patient=False)


def refused(env: dict[str, str], kind: type[WorkshopError] = SettingsError) -> WorkshopError:
    """The error of a login and its first request; looked through for the token."""
    with pytest.raises(kind) as error:
        ask(connect(env))
    assert TOKEN not in "".join(traceback.format_exception(error.value))
    return error.value


def seen(server: OpenAIServer) -> list[str]:
    """The credentials that reached the server."""
    return [authorization for _, authorization, _ in server.requests]


# --- the way to the server -----------------------------------------------------------------------


def test_the_files_proxy_is_asked_whatever_the_environment_says(write, server, proxy):
    env = write({"proxy-url": proxy.url}) | {
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,*",
    }
    assert ask(connect(env)) == {"ready": True}
    assert proxy.asked == [("CONNECT", f"127.0.0.1:{server.port}")]
    assert seen(server) == [f"Bearer {TOKEN}"]


def test_no_token_goes_to_the_server_when_its_proxy_is_away(write, server, port):
    error = refused(write({"proxy-url": f"http://me:{TOKEN}@127.0.0.1:{port}"}), WorkshopError)
    assert error.what == "The API server does not answer."
    assert error.where == f"{server.url[:-3]}, through the proxy http://127.0.0.1:{port}"
    assert server.requests == []


def test_a_proxys_login_is_sent_to_it_and_ports_are_forwarded_through_it(write, proxy):
    proxy.login = f"me:{TOKEN}"
    api = connect(write({"proxy-url": proxy.url.replace("//", f"//me:{TOKEN}@")}))
    assert ask(api) == {"ready": True}
    # What forwards a port opens a websocket by these; the server here speaks none.
    options = ws_client.websocket_proxycare({}, api.client.configuration, "", {})
    assert options == {
        "http_proxy_host": "127.0.0.1",
        "http_proxy_port": proxy.port,
        "http_proxy_auth": ("me", TOKEN),
    }


def test_the_environments_proxy_is_taken_as_kubectl_takes_it(write, server, proxy):
    proxy.hosts["api.closed.test"] = server.port
    away = {"server": "https://api.closed.test:6443", "tls-server-name": "127.0.0.1"}
    env = write(away) | {"HTTPS_PROXY": proxy.url, "HTTP_PROXY": "http://127.0.0.1:9"}
    assert ask(connect(env | {"NO_PROXY": "fd00:1234::/32,10.0.0.0/8"})) == {"ready": True}
    assert proxy.asked == [("CONNECT", "api.closed.test:6443")]
    for none in ({"NO_PROXY": ".closed.test"}, {"HTTPS_PROXY": "", "ALL_PROXY": proxy.url}):
        api = connect(env | none)
        assert api.client.configuration.proxy is None
        # Nor does what forwards ports take one by itself.
        assert ws_client.websocket_proxycare({}, api.client.configuration, "", {}) == {
            "http_no_proxy": ["*"]
        }


def test_loopback_is_never_asked_through_the_environments_proxy(write, server):
    env = write() | dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "socks5h://127.0.0.1:9")
    assert ask(connect(env)) == {"ready": True}


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_is_refused(write, scheme):
    hint = (
        "name an HTTP proxy (http://host:port), or unset it; NO_PROXY lists the hosts that need "
        "none"
    )
    state = f"it is a SOCKS proxy ({scheme}://): only HTTP proxies can be used"
    url = f"{scheme}://me:{TOKEN}@127.0.0.1:9"
    away = write({"server": "https://api.closed.test:6443"})
    error = refused(away | {"HTTPS_PROXY": url})
    assert str(error) == (
        f"The proxy cannot be used.\n  Where: HTTPS_PROXY\n  Last state: {state}\n  Hint: {hint}"
    )
    error = refused(env := write({"proxy-url": url}))
    assert (error.where, error.state) == (f"proxy-url in {env['KUBECONFIG']}", state)


def test_a_proxy_that_is_asked_by_tls_is_refused(write):
    error = refused(write({"proxy-url": "https://127.0.0.1:9"}))
    assert error.what == "The proxy to the cluster cannot be used."
    assert error.state.startswith("it is an https:// proxy")


def test_the_name_that_the_certificate_is_for(write, server, tmp_path):
    both, ca = certificate(tmp_path / "other", address="api.closed.test")
    with OpenAIServer(also=READY, certificate=both) as other:
        there = {"server": other.url.removesuffix("/v1"), "certificate-authority": str(ca)}
        assert ask(connect(write(there | {"tls-server-name": "api.closed.test"})))
        assert str(refused(write(there))) == (
            "The API server's certificate was not verified.\n"
            f"  Where: {other.url[:-3]}\n"
            "  Last state: IP address mismatch, certificate is not valid for '127.0.0.1'.\n"
            "  Hint: name the CA that signed it in the kubeconfig's certificate-authority, and in "
            "tls-server-name the host that it is for, if the server's address is another"
        )
        assert seen(other) == [f"Bearer {TOKEN}"]


# --- refused by name -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cluster", "user", "state"),
    [
        ({"insecure-skip-tls-verify": True}, {}, "insecure-skip-tls-verify is not supported"),
        ({}, {"as": "admin"}, "as is not supported"),
        ({}, {"as-uid": "1", "as-groups": ["a"]}, "as-uid is not supported; as-groups is not "
         "supported"),
        ({}, {"as-user-extra": {"a": ["b"]}}, "as-user-extra is not supported"),
        ({}, {"auth-provider": {"name": "oidc", "config": {"id-token": TOKEN}}},
         "auth-provider is not supported"),
        ({}, {"username": "me"}, "it has both a token and a username"),
        ({}, {"token": 12345}, "token is not text"),
        ({}, {"exec": {"args": ["x"]}}, "exec is not as kubectl writes it"),
        ({}, {"client-key-data": "eA=="}, "client-key is there without client-certificate"),
        ({"certificate-authority-data": f"{TOKEN}!"}, {}, "certificate-authority-data is not "
         "base64"),
        ({"server": f"https://me:{TOKEN}@host"}, {}, "server is not a URL such as "
         "https://host:6443, without a login in it"),
        ({"server": "host:6443"}, {}, "server is not a URL such as https://host:6443, without a "
         "login in it"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_name(write, server, cluster, user, state):
    error = refused(env := write(cluster, user))
    assert error.what == "The login for the cluster cannot be used."
    assert (error.where, error.state) == (env["KUBECONFIG"], state)
    assert error.hint
    assert server.requests == []


def test_fields_that_are_off_or_of_other_entries_count_for_nothing(write):
    off = {"insecure-skip-tls-verify": False, "disable-compression": True, "extensions": []}
    empty = {"as": "", "as-groups": [], "certificate-authority-data": ""}
    assert ask(connect(write(off | {"certificate-authority-data": ""}, empty)))


def test_the_hint_says_how_a_ca_is_named(write):
    assert refused(write({"insecure-skip-tls-verify": True})).hint == (
        "the kit verifies TLS: kubectl config set-cluster NAME --insecure-skip-tls-verify=false "
        "--certificate-authority=FILE"
    )


# --- certificates --------------------------------------------------------------------------------


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_certificate_data_may_be_broken_into_lines(write, tls):
    data = encoded(tls[1].read_bytes())
    lines = "\n".join(data[place : place + 64] for place in range(0, len(data), 64))
    assert ask(connect(write({"certificate-authority-data": lines})))


def test_certificates_that_are_none(write, tls, server, tmp_path):
    error = refused(write({"certificate-authority-data": encoded(b"the CA is in the drawer")}))
    assert error.state.startswith("certificate-authority is not a PEM file to use: ")
    error = refused(write({"certificate-authority": str(tmp_path / "nowhere.pem")}))
    assert error.state == f"File does not exist: {tmp_path}/nowhere.pem"
    mine = {"client-certificate": str(tls[1])}
    broken = b"-----BEGIN PRIVATE KEY-----\n" + TOKEN.encode() + b"\n-----END PRIVATE KEY-----\n"
    error = refused(write(user=mine | {"client-key-data": encoded(broken)}))
    assert error.state.startswith("client-certificate with client-key is not a PEM file to use: ")
    assert server.requests == []


def test_a_client_certificate_is_used(write, tls):
    api = connect(write(user={"client-certificate": str(tls[1]), "client-key": str(tls[0])}))
    assert ask(api)
    assert api.client.configuration.cert_file == str(tls[1])


# --- logins --------------------------------------------------------------------------------------


def test_a_token_file_is_read_again_and_comes_before_the_token(write, server, tmp_path):
    env = write(user={"tokenFile": "token"})
    (tmp_path / "token").write_text("first\n")
    api = connect(env)
    ask(api)
    (tmp_path / "token").write_text("second\n")
    ask(api)
    assert seen(server) == ["Bearer first", "Bearer second"]
    (tmp_path / "token").write_text(f"{TOKEN}\nand more")
    with pytest.raises(SettingsError) as error:
        ask(api)
    assert error.value.state == "the token holds a line break or a letter beyond ASCII"
    assert TOKEN not in "".join(traceback.format_exception(error.value))
    (tmp_path / "token").unlink()
    with pytest.raises(SettingsError, match="No such file or directory"):
        ask(api)


def test_a_user_with_a_password(write, server):
    ask(connect(write(user={"token": "", "username": "me", "password": "pässword"})))
    word = base64.b64encode("me:pässword".encode()).decode()
    assert seen(server) == [f"Basic {word}"]


def plugin(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "login-plugin"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(stat.S_IRWXU)
    return path


def given(status: dict[str, Any]) -> str:
    version = "client.authentication.k8s.io/v1"
    whole = {"kind": "ExecCredential", "apiVersion": version, "status": status}
    return f"cat <<'END'\n{json.dumps(whole)}\nEND"


def exec_of(**fields: Any) -> dict[str, Any]:
    return {
        "token": "",
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "./login-plugin",
            "interactiveMode": "IfAvailable",
            **fields,
        },
    }


def test_a_plugin_is_told_the_cluster_and_asked_again_when_its_token_ends(
    write, server, tls, tmp_path
):
    told = 'echo "$KUBERNETES_EXEC_INFO" >> told; echo "$SAID $1" >> said'
    plugin(tmp_path, f"cd {tmp_path}\n{told}\n" + given(
        {"token": TOKEN, "expirationTimestamp": "2026-01-01T00:00:00Z"}))  # fmt: skip
    fields = exec_of(
        provideClusterInfo=True, args=["--now"], env=[{"name": "SAID", "value": "hello"}]
    )
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"a": 1}}
    api = connect(write({"extensions": [extension]}, fields))
    ask(api)
    assert seen(server) == [f"Bearer {TOKEN}"]
    lines = (tmp_path / "told").read_text().splitlines()
    # At the login, and once before the request: it had ended long ago.
    assert len(lines) >= 2
    assert json.loads(lines[0])["spec"] == {
        "interactive": False,
        "cluster": {
            "server": server.url.removesuffix("/v1"),
            "certificate-authority-data": encoded(tls[1].read_bytes()),
            "config": {"a": 1},
        },
    }
    assert (tmp_path / "said").read_text().startswith("hello --now\n")


def test_a_plugins_token_is_kept_while_it_lasts(write, tmp_path):
    plugin(tmp_path, f"echo x >> {tmp_path}/asked\n" + given({"token": TOKEN}))
    api = connect(write(user=exec_of()))
    ask(api), ask(api)
    assert (tmp_path / "asked").read_text() == "x\n"


def test_a_plugin_gives_a_certificate(write, server, tls, tmp_path):
    pem = tls[0].read_text()
    plugin(tmp_path, given({"clientCertificateData": pem, "clientKeyData": pem}))
    api = connect(write(user=exec_of()))
    assert ask(api)
    assert seen(server) == [""]
    assert Path(api.client.configuration.cert_file).read_text() == pem


@pytest.mark.parametrize(
    ("body", "fields", "state"),
    [
        (f"echo token={TOKEN}{TOKEN} >&2; exit 3", {}, "exit code 3: token=****"),
        ("echo 'run: cloud login' >&2; exit 1", {}, "exit code 1: run: cloud login"),
        (f"echo {TOKEN}", {},
         "its output is not an ExecCredential of client.authentication.k8s.io/v1"),
        (given({"token": ""}), {}, "it gave neither a token nor a certificate with its key"),
        (given({"token": TOKEN, "expirationTimestamp": TOKEN}), {},
         "its expirationTimestamp is not a time"),
        (given({"token": TOKEN}), {"interactiveMode": "Always"},
         "interactiveMode Always is not supported: a notebook has no terminal"),
        (given({"token": TOKEN}), {"command": "no-such-login-plugin", "installHint": "dnf\n it"},
         "no-such-login-plugin: No such file or directory"),
    ],
)  # fmt: skip
def test_a_plugin_that_gives_no_login(write, server, tmp_path, body, fields, state):
    plugin(tmp_path, body)
    error = refused(write(user=exec_of(**fields)))
    assert error.what == "The kubeconfig's plugin gave no login."
    assert error.state == state
    assert error.hint == ("dnf it" if "installHint" in fields else error.hint)
    assert server.requests == []


# --- files ---------------------------------------------------------------------------------------


def test_json_with_tabs_is_read(write):
    env = write()
    path = Path(env["KUBECONFIG"])
    path.write_text(json.dumps(yaml.safe_load(path.read_text()), indent="\t"))
    assert ask(connect(env))


def test_of_several_files_the_first_counts_and_paths_are_below_their_own(
    write, server, tls, tmp_path
):
    write({"certificate-authority": ""}, {"token": ""}, {"namespace": "second"})
    second = tmp_path / "two" / "config"
    second.parent.mkdir()
    (second.parent / "ca.pem").write_bytes(tls[1].read_bytes())
    (second.parent / "token").write_text("from two")
    content = yaml.safe_load((tmp_path / "config").read_text())
    content["clusters"][0]["cluster"]["certificate-authority"] = "ca.pem"
    content["users"][0]["user"]["tokenFile"] = "token"
    second.write_text(yaml.safe_dump(content | {"current-context": "elsewhere"}))
    first = tmp_path / "first"
    context = {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "first"}}
    first.write_text(yaml.safe_dump({"current-context": "here", "contexts": [context]}))
    files = [str(tmp_path / "nowhere"), str(first), str(second)]
    api = connect({"KUBECONFIG": os.pathsep.join(files)})
    assert ask(api)
    assert api.namespace == "first"
    assert seen(server) == ["Bearer from two"]


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (f"users:\n\t- token: {TOKEN}", "it is neither YAML nor JSON, line 2"),
        (f"token: *{TOKEN}", "it is neither YAML nor JSON, line 1"),
        (f"when: 2026-13-45\ntoken: {TOKEN}", "it is neither YAML nor JSON"),
        (f"[{TOKEN}]", "it is not a kubeconfig"),
        ("", "it is not a kubeconfig"),
        (f"users: {TOKEN}", "it is not a kubeconfig"),
        (f"users: [{TOKEN}]", "an entry of users is not as kubectl writes it"),
    ],
)
def test_files_that_are_none(tmp_path, content, state):
    path = tmp_path / "config"
    path.write_text(content)
    error = refused({"KUBECONFIG": str(path)})
    assert str(error) == (
        "The login for the cluster cannot be used.\n"
        f"  Where: {path}\n"
        f"  Last state: {state}\n"
        f"  Hint: {LOGIN}"
    )


@pytest.mark.parametrize(
    ("top", "context", "state"),
    [
        ({"current-context": ""}, {}, "it has no current-context"),
        ({"current-context": "other"}, {}, "it has no context 'other'"),
        ({}, {"cluster": ""}, "it has no cluster in its context"),
        ({}, {"cluster": "x"}, "it has no cluster 'x'"),
        ({}, {"user": "x"}, "it has no user 'x'"),
    ],
)
def test_a_context_that_leads_nowhere(write, top, context, state):
    error = refused(write(context=context, **top))
    assert (error.what, error.state) == ("There is no cluster to connect to.", state)


def test_there_is_no_file(tmp_path):
    error = refused({"KUBECONFIG": str(tmp_path / "nowhere")})
    assert (error.what, error.state) == (
        "There is no cluster to connect to.",
        "there is no such file",
    )
