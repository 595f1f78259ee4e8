"""A model server as a user may bring one: a real HTTP or HTTPS server with the OpenAI API.

It behaves as well or as badly as it is asked to, and keeps what it was asked.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOGIN = "<!doctype html><title>Log in</title><form>Who are you?</form>"


@dataclass
class OpenAIServer:
    """What it does; each option is one fault.

    Args:
        models: What ``/v1/models`` lists.
        token: Required as a bearer token.
        page: Answer everything with this status and text.
        moved: Answer everything with a redirection to this address.
        models_body: Instead of a proper list of models.
        chat_body: Instead of a proper chat completion.
        thinks: Tokens that it thinks before each answer; without more than these there is none.
        thoughts: The field of the message that they stand in.
        limit: It refuses to make more tokens than these.
        calls: How it asks for a tool: ``tool_calls``, or not: ``prose``, ``content`` (the call is
            left in the text), ``refused`` (400, as vLLM does without its tool calling switched on).
        echo: Quote the wrong token in the refusal.
        pause: Seconds before the first word of an answer.
        also: Further paths, each with its status and body.
        hang_up: Close each connection without an answer.
    """

    models: tuple[str, ...] = ("granite-8b",)
    token: str = ""
    page: tuple[int, str] | None = None
    moved: str = ""
    models_body: Any = None
    chat_body: Any = None
    thinks: int = 0
    thoughts: str = "reasoning_content"
    limit: int = 1_000_000
    calls: str = "tool_calls"
    echo: bool = False
    pause: float = 0.0
    hang_up: bool = False
    also: dict[str, tuple[int, Any]] = field(default_factory=dict)
    certificate: Path | None = None
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> OpenAIServer:
        self._server = Server(("127.0.0.1", self.port), handler_for(self))
        self.port = self._server.server_address[1]
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, authorization: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and body; a text is sent as HTML."""
        if self.page:
            return self.page
        if self.token and authorization != f"Bearer {self.token}":
            quoted = f" You sent {authorization!r}." if self.echo else ""
            return 401, {"error": {"message": f"Incorrect API key provided.{quoted}"}}
        if path in self.also:
            return self.also[path]
        if path == "/v1/models":
            return 200, self.models_body or {
                "object": "list",
                "data": [{"id": name, "object": "model"} for name in self.models],
            }
        if path != "/v1/chat/completions":
            return 404, {"detail": "Not Found"}
        if body["model"] not in self.models:
            return 404, {"error": {"message": f"The model {body['model']!r} does not exist."}}
        if self.calls == "refused" and body.get("tools"):
            return 400, {"error": {"message": '"auto" tool choice requires a tool parser'}}
        if body["max_tokens"] > self.limit:
            return 400, {"error": {"message": f"max_tokens is above {self.limit}."}}
        return 200, self.chat_body or {"choices": [self._choice(body)]}

    def _choice(self, body: dict[str, Any]) -> dict[str, Any]:
        message = self._message(body)
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        if not self.thinks:
            return choice
        inside = self.thoughts == "content"
        thought = "<think>\nSo they" if inside else "So they"
        if body["max_tokens"] <= self.thinks:
            cut = {"role": "assistant", "content": None, self.thoughts: thought}
            return choice | {"message": cut, "finish_reason": "length"}
        message[self.thoughts] = f"{thought} want it.\n</think>\n\n{message['content'] or ''}"
        return choice

    def _message(self, body: dict[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "Hello!"}
        if body.get("tools"):
            function = {"name": "count_documents", "arguments": '{"collection": "incidents"}'}
            if self.calls == "tool_calls":
                call = {"id": "call_1", "type": "function", "function": function}
                message |= {"content": None, "tool_calls": [call]}
            elif self.calls == "content":
                message["content"] = f"<tool_call>\n{json.dumps(function)}\n</tool_call>"
            else:
                message["content"] = "There are about forty documents."
        return message


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that does not trust the certificate hangs up: no traceback for that."""


def handler_for(standin: OpenAIServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply({})

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            self.reply(json.loads(self.rfile.read(length)))

        def reply(self, body: dict[str, Any]) -> None:
            authorization = self.headers.get("authorization", "")
            standin.requests.append((self.path, authorization, body))
            if standin.hang_up:
                return
            threading.Event().wait(standin.pause)
            status, content = standin.answer(self.path, authorization, body)
            text = content if isinstance(content, str) else json.dumps(content)
            self.send_response(302 if standin.moved else status)
            if standin.moved:
                self.send_header("location", standin.moved)
            kind = "text/html" if isinstance(content, str) else "application/json"
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def certificate(
    folder: Path, *, address: str = "127.0.0.1", expired: bool = False
) -> tuple[Path, Path]:
    """A self-signed certificate, made now: one file with the key for the server, one without."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a model server of this test")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    usage = {
        name: name in ("digital_signature", "key_cert_sign", "crl_sign")
        for name in (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
            *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        )
    }
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 3 * day)
        .not_valid_after(now - day if expired else now + day)
        .add_extension(x509.SubjectAlternativeName([_named(address)]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(x509.KeyUsage(**usage), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    both, ca = folder / "server.pem", folder / "ca.pem"
    both.write_bytes(private + public)
    ca.write_bytes(public)
    return both, ca


def _named(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)
