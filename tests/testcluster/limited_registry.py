"""A registry, on the node's own loopback, that has had enough of anonymous pulls."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 5999
"""A node takes plain HTTP from its loopback alone."""

SAID = {"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}
"""Docker Hub's words."""


class Limited(BaseHTTPRequestHandler):
    """Answers all with 429."""

    def do_GET(self) -> None:
        body = json.dumps({"errors": [SAID]}).encode()
        self.send_response(429)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", PORT), Limited).serve_forever()
