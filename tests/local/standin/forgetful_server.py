"""An MCP server of two replicas without affinity: one begins a session, another is asked."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from workshop.mcp_client import PROTOCOL

LOST = {"code": -32001, "message": "Session not found"}


class Forgetful(BaseHTTPRequestHandler):
    """Answers as the protocol says a server does that does not know a session: 404."""

    speaks = PROTOCOL

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        about = {"protocolVersion": self.speaks, "capabilities": {"tools": {}}}
        about["serverInfo"] = {"name": "forgetful", "version": "1"}
        if asked.get("method") == "initialize":
            self.answer(200, {"id": asked["id"], "result": about})
        else:
            self.answer(404, {"id": asked.get("id"), "error": LOST})

    def do_DELETE(self) -> None:
        self.answer(200, {})

    def do_GET(self) -> None:
        self.answer(405, {})

    def answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0"} | content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("mcp-session-id", "one")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class ForgetfulServer:
    """Serves on a port of loopback while it is entered; ``url`` says where."""

    def __init__(self, speaks: str = PROTOCOL) -> None:
        self._answers = type("Speaking", (Forgetful,), {"speaks": speaks})

    def __enter__(self) -> ForgetfulServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answers)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
