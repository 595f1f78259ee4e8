"""One request, and a plain word for each way in which it can go wrong."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from workshop.clients import http
from workshop.core.errors import EndpointError
from workshop.core.secret import Secret
from workshop.targets.base import Endpoint

pytestmark = pytest.mark.timeout(30)


class Echo(BaseHTTPRequestHandler):
    """``/status/404``, ``/text/...`` answer so, ``/quote`` the credential, else what was asked."""

    def do_GET(self) -> None:
        self.reply("")

    def do_POST(self) -> None:
        self.reply(self.rfile.read(int(self.headers["content-length"])).decode())

    def reply(self, body: str) -> None:
        _, verb, *rest = self.path.split("/", 2)
        token = self.headers.get("authorization", "")
        asked = {"method": self.command, "path": self.path, "token": token, "body": body}
        text = {"text": "".join(rest), "quote": f"You sent {token}."}.get(verb) or json.dumps(asked)
        text = "" if self.path == "/text/" else text
        self.send_response(int(rest[0]) if verb == "status" else 200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def failed(endpoint: Endpoint, path: str = "/", **options: object) -> EndpointError:
    with pytest.raises(EndpointError) as error:
        http.call(endpoint, path, **options)  # type: ignore[arg-type]
    return error.value


def test_without_a_body_it_gets_and_with_one_it_posts(url):
    endpoint = Endpoint(url, token=Secret("t0ken"))
    got = http.call(endpoint, "/here")
    assert got.status == 200
    assert got.json == {"method": "GET", "path": "/here", "token": "Bearer t0ken", "body": ""}
    posted = http.call(endpoint, "/there", json={"a": 1}).json
    assert (posted["method"], json.loads(posted["body"])) == ("POST", {"a": 1})
    assert "t0ken" not in repr(got.secrets)


def test_the_credential_can_be_left_out(url):
    assert http.call(Endpoint(url, token=Secret("t")), "/", authorize=False).json["token"] == ""
    assert http.call(Endpoint(url), "/").json["token"] == ""


def test_a_proxy_of_the_environment_is_not_asked(url, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert http.call(Endpoint(url), "/").status == 200


@pytest.mark.parametrize(
    ("status", "kind", "what", "hint"),
    [
        (400, "protocol", "The server did not understand the request.", "check the URL"),
        (401, "unauthorized", "The credential was refused.", "check the token"),
        (403, "unauthorized", "The credential was refused.", "check the token or secret"),
        (404, "not found", "There is nothing at this address.", "check the URL's path"),
        (426, "protocol", "The versions of client and server do not fit together.", "make setup"),
        (429, "busy", "The server is too busy.", "wait a minute and run this cell again"),
        (500, "server error", "The server failed.", "read its log"),
        (502, "server error", "The server failed.", "read its log"),
        (503, "busy", "The server is not ready yet.", "wait a minute and run this cell again"),
    ],
)
def test_each_status_has_its_own_words(url, status, kind, what, hint):
    error = failed(Endpoint(url), f"/status/{status}")
    assert error.kind == kind
    seen = json.dumps({"method": "GET", "path": f"/status/{status}", "token": "", "body": ""})
    assert str(error) == (
        f"{what}\n"
        f"  Where: {url}/status/{status}\n"
        f"  Last state: HTTP {status}: {seen}\n"
        f"  Hint: {hint}"
    )


def test_a_token_that_the_server_quotes_is_masked(url):
    endpoint = Endpoint(url, token=Secret("canary-77ab"))
    error = failed(endpoint, "/status/401")
    assert "Bearer ****" in error.state
    with pytest.raises(EndpointError) as not_json:
        _ = http.call(endpoint, "/quote").json
    assert not_json.value.state == "HTTP 200: You sent Bearer ****."
    assert "canary" not in str(error) + str(not_json.value)


def test_one_status_alone_may_be_right(url):
    assert http.call(Endpoint(url), "/status/404", expect=404).status == 404
    assert failed(Endpoint(url), "/", expect=204).state.startswith("HTTP 200: ")


@pytest.mark.parametrize(("text", "shown"), [("", "(no text)"), ("x" * 999, "x" * 300)])
def test_what_is_not_json_is_said_so(url, text, shown):
    with pytest.raises(EndpointError) as error:
        _ = http.call(Endpoint(url), f"/text/{text}").json
    assert str(error.value) == (
        "The answer is not JSON.\n"
        f"  Where: {url}/text/{text}\n"
        f"  Last state: HTTP 200: {shown}\n"
        "  Hint: check the URL: another program may listen there, or a login page come before it"
    )
    assert error.value.kind == "protocol"


def test_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    error = failed(Endpoint(f"http://127.0.0.1:{port}"))
    assert error.kind == "refused"
    assert str(error) == (
        "Nothing listens at this address.\n"
        f"  Where: http://127.0.0.1:{port}/\n"
        "  Last state: [Errno 111] Connection refused\n"
        "  Hint: workshop status"
    )


def test_what_listens_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        error = failed(Endpoint(url), timeout=0.2)
    assert error.kind == "timeout"
    assert str(error) == (
        "No answer within 0.2 s.\n"
        f"  Where: {url}/\n"
        "  Last state: connected, but no answer came\n"
        "  Hint: workshop status"
    )


def test_no_connection_is_made_in_time():
    slow = httpx.ConnectTimeout("")
    error = http.unreachable("http://192.0.2.1/", slow, 3)
    assert (error.kind, error.state) == ("timeout", "no connection was made")


def speaking(*words: bytes) -> tuple[str, threading.Thread]:
    """A server that says these words to its first caller, and hangs up."""
    server = socket.create_server(("127.0.0.1", 0))

    def speak() -> None:
        with server, server.accept()[0] as caller:
            caller.recv(65536)
            for word in words:
                caller.sendall(word)

    thread = threading.Thread(target=speak)
    thread.start()
    return f"http://127.0.0.1:{server.getsockname()[1]}", thread


def test_another_protocol():
    url, thread = speaking(b"220 mail.example.com ESMTP\r\n\r\n")
    error = failed(Endpoint(url))
    thread.join()
    assert error.kind == "protocol"
    first, where, state, hint = str(error).splitlines()
    assert first == "The server does not speak HTTP."
    assert where == f"  Where: {url}/"
    assert "220 mail.example.com" in state
    assert hint == ("  Hint: check the URL: another program may listen there, or it wants https://")


def test_it_hangs_up():
    url, thread = speaking()
    error = failed(Endpoint(url))
    thread.join()
    assert error.kind == "protocol"
    assert str(error) == (
        "The connection broke.\n"
        f"  Where: {url}/\n"
        "  Last state: Server disconnected without sending a response.\n"
        "  Hint: workshop status"
    )


def test_a_request_without_tls_trusts_nobody():
    context = http.tls(Endpoint("http://127.0.0.1:1"))
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.get_ca_certs() == []


def test_a_request_with_tls_is_verified(tmp_path):
    context = http.tls(Endpoint("https://127.0.0.1:1"))
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    missing = tmp_path / "gone.pem"
    error = failed(Endpoint("https://127.0.0.1:1", ca_file=missing))
    assert error.kind == "tls"
    assert str(error) == (
        "The CA file cannot be used.\n"
        f"  Where: {missing}\n"
        "  Last state: FileNotFoundError: [Errno 2] No such file or directory\n"
        "  Hint: MODEL_CA_FILE must be a PEM file, which starts with -----BEGIN CERTIFICATE-----"
    )
