"""A server with the Responses API that gives a call back unmade, as OGX and Llama Stack do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from standin.loopback import Handler, Loopback

TOOL = "update-many"


class ApprovingServer(Loopback):
    """``asked`` has the bodies of all requests.

    Attributes:
        proposes: The arguments of each call that its model makes; none: it says ``text``.
        before: What it does when it is asked, and should do nothing.
        decided: What it does when the answer of a person has come: takes whether they approved, and
            the arguments.
        fails: Whether it breaks after that.
    """

    def __init__(self) -> None:
        self.proposes: Sequence[Mapping[str, Any] | str] = ()
        self.text = ""
        self.before: Callable[[], object] = lambda: None
        self.decided: Callable[[bool, Any], object] = lambda approved, arguments: None
        self.fails = False
        self.asked: list[dict[str, Any]] = []

    def _output(self, asked: Any) -> list[dict[str, Any]]:
        items = asked if isinstance(asked, list) else []
        answers = [one for one in items if one.get("type") == "mcp_approval_response"]
        if not answers:
            self.before()
            waiting = {
                "type": "mcp_approval_request",
                "server_label": "mongodb-writer",
                "name": TOOL,
            }
            calls = [one if isinstance(one, str) else json.dumps(one) for one in self.proposes]
            return [waiting | {"id": f"a{n}", "arguments": one} for n, one in enumerate(calls)]
        [request] = [one for one in items if one.get("id") == answers[0]["approval_request_id"]]
        self.decided(answers[0]["approve"], json.loads(request["arguments"]))
        return []

    def handler(self) -> type[Handler]:
        server = self

        class Answering(Handler):
            def do_GET(self) -> None:
                self.answer(200, {"version": "2.0.0"})

            def do_POST(self) -> None:
                asked = json.loads(self.body())
                server.asked.append(asked)
                output = server._output(asked["input"])
                if server.fails:
                    self.answer(500, {"error": {"message": "it broke"}})
                    return
                if server.text and not output:
                    part = {"type": "output_text", "text": server.text, "annotations": []}
                    output = [
                        {"type": "message", "role": "assistant", "content": [part], "id": "m"}
                    ]
                response = {"id": "r", "status": "completed", "output": output}
                event = {"type": "response.completed", "sequence_number": 0, "response": response}
                text = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
                self.answer(200, text.encode(), content_type="text/event-stream")

        return Answering
