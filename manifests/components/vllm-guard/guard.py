"""Lets /v1, /health and /metrics through to vLLM, and answers 404 to everything else.

vLLM's key guards some paths alone (0.33: those that begin with /v1, /v2, /inference or /cohere);
the rest answers whoever reaches the port. vLLM itself puts this class before all of its own code,
by its option --middleware: no further image, no second process, and a stream is handed on as it
comes. A NetworkPolicy could not do it: it knows ports and no paths.
"""

import json

PATHS = ("/health", "/metrics")
API = "/v1/"
SAID = json.dumps({"error": "not served here: /v1, /health and /metrics alone"}).encode()


class Guard:
    """ASGI middleware. It looks at the path by which the request is routed, and at no header."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        """Pass on, or refuse."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] in PATHS or scope["path"].startswith(API):
            await self.app(scope, receive, send)
        else:
            kind = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 404, "headers": kind})
            await send({"type": "http.response.body", "body": SAID})
