"""A session of plain requests begins and ends on the server; its refusals are told in words."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from workshop.clients import mcp
from workshop.core.errors import EndpointError
from workshop.core.secret import Secret
from workshop.targets.base import Endpoint

pytestmark = pytest.mark.timeout(30)

requests: list[tuple[str, str, str | None, str | None]] = []
"""Of each request: the method, the credential, the session and the revision."""


class Server(BaseHTTPRequestHandler):
    """Speaks at /mcp, in server-sent events as real ones do."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.note(asked["method"])
        if self.path != "/mcp":
            self.reply(404, {})
        elif asked["method"] == "initialize":
            self.reply(200, {"result": {"protocolVersion": asked["params"]["protocolVersion"]}})
        elif asked["method"] == "tools/call":
            text = f"called {asked['params']['name']}"
            content = [{"type": "text", "text": text}]
            self.reply(200, {"result": {"content": content, "isError": "bad" in text}})
        else:
            self.reply(202, {})

    def do_DELETE(self) -> None:
        self.note("DELETE")
        self.reply(200, {})

    def note(self, method: str) -> None:
        names = ("mcp-session-id", "mcp-protocol-version")
        requests.append((method, self.headers["authorization"], *map(self.headers.get, names)))

    def reply(self, status: int, message: dict[str, Any]) -> None:
        text = f"event: message\ndata: {json.dumps({'jsonrpc': '2.0', **message})}\n\n"
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.send_header("mcp-session-id", "one")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Endpoint]:
    requests.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
        yield Endpoint(f"http://127.0.0.1:{listening.server_address[1]}", token=Secret("t0ken"))
        listening.shutdown()


def test_a_session_carries_its_id_and_revision_and_is_ended(server: Endpoint) -> None:
    with mcp.plain_session(server, "/mcp") as call:
        assert call("count", {"collection": "incidents"}) == mcp.Result("called count", False)
        assert call("bad", {}).failed
    begun = ("Bearer t0ken", "one", mcp.PROTOCOL)
    assert requests == [
        ("initialize", "Bearer t0ken", None, None),
        *[(each, *begun) for each in ("notifications/initialized", "tools/call", "tools/call")],
        ("DELETE", *begun),
    ]


def test_one_exchange_gives_the_revision_and_leaves_no_session(server: Endpoint) -> None:
    assert mcp.initialize(server, "/mcp") == mcp.PROTOCOL
    assert [method for method, *_ in requests] == ["initialize", "DELETE"]


def test_another_path_says_which_one_it_is(server: Endpoint) -> None:
    with pytest.raises(EndpointError) as error:
        mcp.initialize(server, "/sse")
    assert error.value.kind == "not found"
    assert "There is nothing at this address." in str(error.value)
    assert "Hint: the path is /mcp, by POST" in str(error.value)
