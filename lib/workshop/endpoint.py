"""How a part is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from workshop.masked import Secret


@dataclass(frozen=True)
class Endpoint:
    """How to reach a part. The credential shows in no repr.

    Args:
        url: Scheme, host and port, without a trailing slash: ``http://127.0.0.1:8080``.
        token: Sent as ``Authorization: Bearer``, or None.
        user: With ``password``: for a database.
        password: With ``user``: for a database.
        ca_file: The CA that signed the server's certificate; None means the system's.
        also: Further URLs of the same part by name, such as ``{"monitoring": ...}``.
        inside: The URL by which the other parts reach it, where that differs: on a cluster, the
            Service's; "" where it is the same.
        server_name: The host name that the certificate must be for, where the URL has another.
        adopted: Whether somebody else runs it: the environment's proxy may lead to it.
    """

    url: str
    token: Secret | None = None
    user: str = ""
    password: Secret | None = None
    ca_file: Path | None = None
    also: Mapping[str, str] = field(default_factory=dict)
    inside: str = ""
    server_name: str = ""
    adopted: bool = False

    @property
    def peer_url(self) -> str:
        """The URL by which another part reaches this one."""
        return self.inside or self.url

    @property
    def port(self) -> int:
        """The port in the URL, or its scheme's."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)
