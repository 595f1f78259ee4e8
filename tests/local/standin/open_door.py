"""A proxy that knows the secret, and lets anybody in: an MCP server as it is without one."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from workshop import http
from workshop.target import Endpoint

ENDS = ("transfer-encoding", "content-length", "connection", "content-encoding")


class OpenDoor:
    """Stands before a server while it is entered; ``url`` says where."""

    def __init__(self, behind: Endpoint) -> None:
        self._behind = behind

    def __enter__(self) -> OpenDoor:
        behind = self._behind

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                sent = {
                    key: value
                    for key, value in self.headers.items()
                    if key.lower() not in ("host", "authorization", *ENDS)
                }
                # A stream of events that has no end is asked by GET: it is not needed.
                answer = httpx.request(
                    self.command,
                    behind.url + self.path,
                    content=self.rfile.read(length),
                    headers=sent | http.headers(behind),
                    trust_env=False,
                )
                self.send_response(answer.status_code)
                for key, value in answer.headers.items():
                    if key.lower() not in ENDS:
                        self.send_header(key, value)
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_DELETE = do_POST  # noqa: N815

            def do_GET(self) -> None:
                self.send_error(405)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
