"""An MCP server of two replicas without affinity: one begins a session, another is asked."""

from __future__ import annotations

import json
from typing import Any

from standin.loopback import Handler, Loopback
from workshop.clients.mcp import PROTOCOL

LOST = {"code": -32001, "message": "Session not found"}


class Forgetful(Handler):
    """Answers as the protocol says a server does that does not know a session: 404."""

    speaks = PROTOCOL

    def do_POST(self) -> None:
        asked = json.loads(self.body())
        about = {"protocolVersion": self.speaks, "capabilities": {"tools": {}}}
        about["serverInfo"] = {"name": "forgetful", "version": "1"}
        if asked.get("method") == "initialize":
            self.say(200, {"id": asked["id"], "result": about})
        else:
            self.say(404, {"id": asked.get("id"), "error": LOST})

    def do_DELETE(self) -> None:
        self.say(200, {})

    def do_GET(self) -> None:
        self.say(405, {})

    def say(self, status: int, content: dict[str, Any]) -> None:
        self.answer(status, {"jsonrpc": "2.0"} | content, mcp_session_id="one")


class ForgetfulServer(Loopback):
    """Speaks this revision of the protocol."""

    def __init__(self, speaks: str = PROTOCOL) -> None:
        self._answers = type("Speaking", (Forgetful,), {"speaks": speaks})

    def handler(self) -> type[Handler]:
        return self._answers
