"""A server with the Responses API, which lists an MCP server's tools, and connectors."""

from __future__ import annotations

import json
from typing import Any

from standin.loopback import Handler, Loopback


class AgentServer(Loopback):
    """``asked`` says what came.

    Args:
        connectors: The MCP servers that its configuration names: URL by name.
        hands_on: Whether a connector's credential reaches the MCP server.
    """

    def __init__(self, connectors: dict[str, str], *, hands_on: bool = True) -> None:
        self.connectors = connectors
        self.hands_on = hands_on
        self.asked: list[dict[str, Any]] = []

    def handler(self) -> type[Handler]:
        server = self

        class Answering(Handler):
            def do_GET(self) -> None:
                listed = [{"connector_id": n, "url": u} for n, u in server.connectors.items()]
                pages: dict[str, Any] = {"/v1/version": {"version": "2.0.0"}}
                pages["/v1alpha/admin/connectors"] = {"data": listed}
                self.answer(200 if self.path in pages else 404, pages.get(self.path, {}))

            def do_POST(self) -> None:
                if client := self.headers.get("x-llamastack-client-version"):
                    # As Llama Stack does where major.minor is not its own.
                    said = f"Client version {client} is not compatible with server version 2.0.0."
                    self.answer(426, {"error": {"message": said}})
                    return
                [tool] = json.loads(self.body())["tools"]
                server.asked.append(tool)
                if "connector_id" in tool and not server.hands_on:
                    self.answer(500, {"error": {"message": "403"}})
                    return
                tools = [{"name": name, "input_schema": {}} for name in tool["allowed_tools"]]
                item = {"type": "mcp_list_tools", "id": "1", "server_label": "x", "tools": tools}
                kind = "response.output_item.done"
                event = {"type": kind, "item": item, "output_index": 0, "sequence_number": 1}
                text = f"event: {kind}\ndata: {json.dumps(event)}\n\n"
                self.answer(200, text.encode(), content_type="text/event-stream")

        return Answering
