"""A proxy that knows the secret, and lets anybody in: an MCP server as it is without one."""

from __future__ import annotations

import httpx
from standin.loopback import Handler, Loopback
from workshop.clients import http
from workshop.targets.base import Endpoint

ENDS = ("transfer-encoding", "content-length", "connection", "content-encoding")


class OpenDoor(Loopback):
    """Stands before a server."""

    def __init__(self, behind: Endpoint) -> None:
        self._behind = behind

    def handler(self) -> type[Handler]:
        behind = self._behind

        class Open(Handler):
            def do_POST(self) -> None:
                sent = {
                    key: value
                    for key, value in self.headers.items()
                    if key.lower() not in ("host", "authorization", *ENDS)
                }
                # A stream of events that has no end is asked by GET: it is not needed.
                answer = httpx.request(
                    self.command,
                    behind.url + self.path,
                    content=self.body(),
                    headers=sent | http.headers(behind),
                    trust_env=False,
                )
                given = {
                    key.lower().replace("-", "_"): value
                    for key, value in answer.headers.items()
                    if key.lower() not in ENDS
                }
                self.answer(answer.status_code, answer.content, **given)

            do_DELETE = do_POST

            def do_GET(self) -> None:
                self.send_error(405)

        return Open
