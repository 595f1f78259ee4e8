"""A server with the Responses API, which lists an MCP server's tools, and connectors."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class AgentServer:
    """Serves on a port of loopback while it is entered; ``url`` says where, ``asked`` what came.

    Args:
        connectors: The MCP servers that its configuration names: URL by name.
        hands_on: Whether a connector's credential reaches the MCP server.
    """

    def __init__(self, connectors: dict[str, str], *, hands_on: bool = True) -> None:
        self.connectors = connectors
        self.hands_on = hands_on
        self.asked: list[dict[str, Any]] = []

    def __enter__(self) -> AgentServer:
        server = self

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listed = [{"connector_id": n, "url": u} for n, u in server.connectors.items()]
                pages = {"/v1/version": {"version": "2.0.0"}}
                pages["/v1alpha/admin/connectors"] = {"data": listed}
                status = 200 if self.path in pages else 404
                self.answer(status, "application/json", json.dumps(pages.get(self.path, {})))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                [tool] = json.loads(body)["tools"]
                server.asked.append(tool)
                if "connector_id" in tool and not server.hands_on:
                    self.answer(500, "application/json", '{"error": {"message": "403"}}')
                    return
                tools = [{"name": name, "input_schema": {}} for name in tool["allowed_tools"]]
                item = {"type": "mcp_list_tools", "id": "1", "server_label": "x", "tools": tools}
                kind = "response.output_item.done"
                event = {"type": kind, "item": item, "output_index": 0, "sequence_number": 1}
                text = f"event: {kind}\ndata: {json.dumps(event)}\n\n"
                self.answer(200, "text/event-stream", text)

            def answer(self, status: int, kind: str, text: str) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
