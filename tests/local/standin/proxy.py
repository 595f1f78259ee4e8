"""A real HTTP proxy: ``CONNECT`` for https, plain forwarding for http, with a login or without.

It knows host names that nobody else knows, as the proxy of a closed network does.
"""

from __future__ import annotations

import base64
import http.client
import selectors
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from standin.openai_server import Server


@dataclass
class Proxy:
    """What it does.

    Args:
        hosts: Names that it knows, each with a port of loopback; others it connects to as they are.
        login: ``user:password`` that it wants, or "".
        asked: Each request's method and target, as they came.
    """

    hosts: dict[str, int] = field(default_factory=dict)
    login: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:
        self._server = Server(("127.0.0.1", self.port), type("OfThis", (Handler,), {"proxy": self}))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def place(self, host: str, port: int) -> tuple[str, int]:
        return ("127.0.0.1", self.hosts[host]) if host in self.hosts else (host, port)


class Handler(BaseHTTPRequestHandler):
    proxy: Proxy

    def do_CONNECT(self) -> None:
        if not self.let_in():
            return
        host, _, port = self.path.rpartition(":")
        try:
            there = socket.create_connection(self.proxy.place(host.strip("[]"), int(port)))
        except OSError:
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        with there:
            carry(self.connection, there)
        self.close_connection = True

    def do_GET(self) -> None:
        self.forward()

    def do_POST(self) -> None:
        self.forward()

    def forward(self) -> None:
        if not self.let_in():
            return
        asked = urlsplit(self.path)
        length = int(self.headers.get("content-length", 0))
        host, port = self.proxy.place(asked.hostname or "", asked.port or 80)
        there = http.client.HTTPConnection(host, port)
        headers = {k: v for k, v in self.headers.items() if not k.lower().startswith("proxy-")}
        there.request(self.command, asked.path, self.rfile.read(length) or None, headers)
        answer = there.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        there.close()

    def let_in(self) -> bool:
        self.proxy.asked.append((self.command, self.path))
        wanted = f"Basic {base64.b64encode(self.proxy.login.encode()).decode()}"
        if not self.proxy.login or self.headers.get("proxy-authorization") == wanted:
            return True
        self.send_response(407)
        self.send_header("proxy-authenticate", 'Basic realm="proxy"')
        self.send_header("content-length", "0")
        self.end_headers()
        return False

    def log_message(self, *_: object) -> None:
        pass


def carry(one: socket.socket, other: socket.socket) -> None:
    """Copy both ways until either side ends."""
    with selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in ready.select():
                try:
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    key.data.sendall(data)
                except OSError:
                    return
                if not data:
                    return
