"""How the kit talks MCP, with real servers."""

from __future__ import annotations

import pytest
from workshop.clients import mcp
from workshop.core.wait import NotYet, wait_for
from workshop.targets.base import Endpoint
from workshop.targets.local import ports

pytestmark = pytest.mark.timeout(60)


def test_a_tool_that_is_silent_for_a_while_is_waited_for(script, port):
    """As a MongoDB MCP server is that looks for its database; HTTP clients give up after 5 s."""
    script("slow_mcp.py", port)
    wait_for("it", lambda: ports.accepts(port) or NotYet("it does not listen"), timeout=20)
    server = Endpoint(f"http://127.0.0.1:{port}")
    result = mcp.call_tool(server, "/mcp", "wait", {"seconds": 5.5})
    assert result == mcp.Result("done", failed=False)
