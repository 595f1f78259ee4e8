"""A stand-in for memcached and its exporter: its text protocol, and a page of metrics.

Of the protocol (memcached's ``doc/protocol.txt``) it has ``version``, ``stats``, ``get``, ``set``
and ``quit``, and the login of ``memcached --auth-file``: the first ``set`` holds user and password.
"""

from __future__ import annotations

import argparse
import os
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "1.6.0-standin"
LOGIN = f"{os.environ['MEMCACHED_USER']} {os.environ['MEMCACHED_PASSWORD']}"
KEPT: dict[str, str] = {}
COUNTED = {"cmd_get": 0, "cmd_set": 0, "auth_errors": 0}


class Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        known = False
        while words := self.rfile.readline().decode().split():
            if words[0] == "quit":
                return
            if words[0] == "set":
                value = self.rfile.read(int(words[4]) + 2).decode().strip()
            if words[0] == "set" and not known:
                known = value == LOGIN
                self.say("STORED" if known else "CLIENT_ERROR authentication failure")
                COUNTED["auth_errors"] += not known
            elif not known:
                self.say("CLIENT_ERROR unauthenticated")
            elif words[0] == "set":
                KEPT[words[1]] = value
                COUNTED["cmd_set"] += 1
                self.say("STORED")
            elif words[0] == "get":
                COUNTED["cmd_get"] += 1
                found = KEPT.get(words[1])
                self.say(*([f"VALUE {words[1]} 0 {len(found)}", found] if found else []), "END")
            elif words[0] == "stats":
                self.say(*(f"STAT {name} {value}" for name, value in COUNTED.items()), "END")
            else:
                self.say(f"VERSION {VERSION}" if words[0] == "version" else "ERROR")

    def say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        lines = [f"memcached_{name}_total {value}" for name, value in COUNTED.items()]
        body = "".join(f"{line}\n" for line in lines).encode()
        self.send_response(200 if self.path == "/metrics" else 404)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """A line for each reading would hide all others."""


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=11211)
    parser.add_argument("--page", type=int, default=9150)
    chosen = parser.parse_args()
    page = ThreadingHTTPServer((chosen.listen, chosen.page), Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    with Server((chosen.listen, chosen.port), Session) as server:
        sys.stderr.write(f"memcached {VERSION} listens on {chosen.listen}:{chosen.port}\n")
        server.serve_forever()


if __name__ == "__main__":
    main()
