"""The package index: where a wheel that the pins name can be downloaded.

The index is the one that the user configured, else the one that uv.lock was made from. It is asked
as https://peps.python.org/pep-0691/ says (JSON), with the older HTML page as the fallback.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from workshop.core.errors import SetupError
from workshop.core.versions import Wheel
from workshop.setup.fetch import Away, File, explain, get, shown

VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
HINT = "check the network, or name a mirror in UV_DEFAULT_INDEX; then run set-up again"


def configured(env: Mapping[str, str]) -> str:
    """The index that the user's environment variables name; empty when they name none."""
    return next((env[name] for name in VARIABLES if env.get(name)), "")


def address(env: Mapping[str, str], checkout: Path) -> str:
    """The package index's address.

    Raises:
        SetupError: No variable names one, and uv.lock is not there to say.
    """
    named = configured(env)
    if named:
        return named
    lock = checkout / "uv.lock"
    found = re.search(r'registry = "([^"]+)"', lock.read_text()) if lock.exists() else None
    if found is None:
        raise SetupError(
            "No package index is known.",
            where=str(lock),
            hint="set UV_DEFAULT_INDEX to the address of a package index",
        )
    return found.group(1)


def is_mirror(env: Mapping[str, str], checkout: Path) -> bool:
    """Whether the user's index is another one than the one that uv.lock was made from."""
    named = configured(env)
    return bool(named) and named.rstrip("/") != address({}, checkout).rstrip("/")


def find(index: str, wheel: Wheel) -> File:
    """Where this wheel is.

    Raises:
        Away: The index cannot be reached, or has no such file.
    """
    page = f"{index.rstrip('/')}/{wheel.project}/"
    try:
        with get(page, headers={"Accept": ACCEPT}) as answer:
            body = answer.read()
            kind = answer.headers.get("Content-Type", "")
            base = answer.url
    except (OSError, http.client.HTTPException) as error:
        raise Away(
            f"The package index did not give {wheel.project}: {explain(error)}.",
            where=shown(page),
            hint=HINT,
        ) from error
    links = _from_json(body) if "json" in kind else _from_html(body)
    if wheel.filename not in links:
        raise Away(f"The package index has no {wheel.filename}.", where=shown(page), hint=HINT)
    return File(_with_login(urljoin(base, links[wheel.filename]), index), wheel.size, wheel.sha256)


def _with_login(url: str, index: str) -> str:
    """Keep the index's name and password for files on the same server, and for no other."""
    named, at, host = urlsplit(index).netloc.rpartition("@")
    split = urlsplit(url)
    return (
        urlunsplit(split._replace(netloc=f"{named}@{host}")) if at and split.netloc == host else url
    )


def _from_json(body: bytes) -> dict[str, str]:
    return {str(file["filename"]): str(file["url"]) for file in json.loads(body)["files"]}


def _from_html(body: bytes) -> dict[str, str]:
    page = _Links()
    page.feed(body.decode(errors="replace"))
    return page.found


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        link = dict(attrs).get("href")
        if tag == "a" and link:
            self.found[unquote(urlsplit(link).path.rsplit("/", 1)[-1])] = link
