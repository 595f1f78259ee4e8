"""Downloads: resumed where they were cut, measured, and checked by hash as they arrive."""

from __future__ import annotations

import base64
import hashlib
import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from workshop.core.errors import SetupError
from workshop.setup import disk
from workshop.setup.context import Context, Stopped

CHUNK = 1 << 17
"""The most bytes that are taken at once; fewer when fewer have come, so that Ctrl-C is heard on a
slow line too."""
PATIENCE_SECONDS = 20.0
"""How long a server may take to answer, or be silent within an answer."""
TRIES = 5
"""How often in a row a download may fail without a single new byte."""
PAUSE_SECONDS = 0.5
"""The pause after the first failure; doubled after each further one."""


class Hash(Protocol):
    """What hashlib's objects have in common."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far."""


@dataclass(frozen=True)
class File:
    """A file to download: ``size`` in bytes; ``patience`` in seconds, for one silence."""

    url: str
    size: int
    sha256: str
    patience: float = PATIENCE_SECONDS
    tries: int = TRIES


class Away(SetupError):
    """The server cannot be reached, or does not have the file: another source may.

    Attributes:
        reason: Why, in a few words.
    """

    reason: str = ""

    def because(self, reason: str) -> Away:
        """Set the reason and return the same error, so that it can be raised in one expression."""
        self.reason = reason
        return self


class WrongFile(Away):
    """What came is whole and is not the file that was asked for."""

    reason = "it has another file under this name"


def get(
    url: str, *, headers: Mapping[str, str] | None = None, patience: float = PATIENCE_SECONDS
) -> http.client.HTTPResponse:
    """Open a URL with the system's certificate authorities.

    Raises:
        OSError: As urllib raises it.
        Away: The address is of another kind.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise Away(f"{shown(url)} is not an http or https address.")
    bare, login = split_login(url)
    request = urllib.request.Request(bare, headers=dict(headers or {}))  # noqa: S310
    if login:
        # Unredirected: another server that this one points to must not see the password.
        request.add_unredirected_header("Authorization", login)
    try:
        opened: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=patience)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        raise
    return opened


def fetch(
    context: Context,
    file: File,
    target: Path,
    progress: Callable[[int], None],
    note: Callable[[str], None],
) -> None:
    """Download to ``target``, going on from ``target``'s ``.part`` file when there is one.

    Args:
        context: Its ``stop`` ends the download; the part stays.
        file: What to download.
        target: Appears only when the whole file is there and its hash is right.
        progress: Told how many bytes there are.
        note: Told what is done about a fault, in words.

    Raises:
        Away: The server cannot be reached or does not have the file.
        WrongFile: The file's size or hash is not the expected one.
        SetupError: The disk is full.
        Stopped: ``context.stop`` was set.
    """
    part = target.with_name(target.name + ".part")
    with disk.full_disk_is_clear(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = _size(part) > 0
        try:
            _fill(context, file, part, progress, note)
            _compare(file, part, target.name)
        except WrongFile:
            part.unlink(missing_ok=True)
            if not resumed:
                raise
            note("what an earlier set-up left was not usable; starting again")
            _fill(context, file, part, progress, note)
            _compare(file, part, target.name)
        part.replace(target)


def _fill(
    context: Context,
    file: File,
    part: Path,
    progress: Callable[[int], None],
    note: Callable[[str], None],
) -> None:
    failures = 0
    while _size(part) < file.size:
        before = _size(part)
        try:
            _once(context, file, part, progress)
            if _size(part) < file.size:
                raise http.client.IncompleteRead(b"", file.size - _size(part))
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in disk.FULL:
                raise
            reason = transient(error)
            failures = failures + 1 if _size(part) <= before else 1
            if not reason:
                raise Away(
                    f"{shown(file.url)} cannot be downloaded: {explain(error)}.",
                    hint="check the network, then run set-up again",
                ).because(explain(error)) from error
            if failures >= file.tries:
                raise Away(
                    f"{shown(file.url)} broke off {failures} times without a new byte.",
                    state=f"{_size(part)} of {file.size} bytes; last: {reason}",
                    hint="run set-up again: it goes on where it stopped",
                ).because(reason) from error
            note(f"{reason}; going on from {_size(part) / 1e6:.1f} MB")
            if context.stop.wait(PAUSE_SECONDS * 2 ** (failures - 1)):
                raise Stopped from None


def _once(context: Context, file: File, part: Path, progress: Callable[[int], None]) -> None:
    offset = _size(part)
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    with get(file.url, headers=headers, patience=file.patience) as answer:
        if offset and answer.status != 206:
            offset = 0  # The server does not resume: take the whole file from the start.
        length = answer.headers.get("Content-Length")
        if length is not None and offset + int(length) != file.size:
            raise WrongFile(
                f"{shown(file.url)} is another file: it has {offset + int(length)} bytes, "
                f"expected {file.size}."
            )
        with part.open("r+b" if offset else "wb", buffering=0) as sink:
            sink.seek(offset)
            while data := answer.read1(CHUNK):
                if context.stop.is_set():
                    raise Stopped
                sink.write(data)
                offset += len(data)
                progress(offset)


def _compare(file: File, part: Path, name: str) -> None:
    if _size(part) > file.size:
        raise WrongFile(f"{name} has {_size(part)} bytes, expected {file.size}.")
    seen = sha256_of(part)
    if seen != file.sha256:
        raise WrongFile(
            f"{name} has the wrong hash.",
            where=shown(file.url),
            state=f"sha256 {seen}, expected {file.sha256}",
            hint="the server gives another file under this name; use another source or mirror",
        )


def sha256_of(path: Path, progress: Callable[[int], None] = lambda _done: None) -> str:
    """The sha256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    done = 0
    with path.open("rb", buffering=0) as source:
        while data := source.read(8 << 20):
            digest.update(data)
            done += len(data)
            progress(done)
    return digest.hexdigest()


def transient(error: Exception) -> str:
    """Why this fault may pass by itself, in words; empty when trying again is useless."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(error, urllib.error.HTTPError):
        passing = error.code >= 500 or error.code in (408, 429)
        return f"the server answered {error.code}" if passing else ""
    if isinstance(cause, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return "the connection was reset"
    if isinstance(cause, http.client.IncompleteRead | http.client.RemoteDisconnected):
        return "the connection was cut"
    if isinstance(cause, TimeoutError) and not isinstance(error, urllib.error.URLError):
        return "the server fell silent"
    return ""


def explain(error: Exception) -> str:
    """A network fault in words."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, socket.gaierror):
        return "the server's name is not known here"
    if isinstance(cause, ssl.SSLError):
        return f"its certificate is not trusted ({cause.reason or cause})"
    return str(cause) or type(cause).__name__


def shown(url: str) -> str:
    """A URL without the password that may stand in it, nor its query."""
    split = urlsplit(url)
    return urlunsplit((split.scheme, split.netloc.rpartition("@")[2], split.path, "", ""))


def split_login(url: str) -> tuple[str, str]:
    """A URL without the name and password that may stand in it, and the header they make."""
    split = urlsplit(url)
    named, at, host = split.netloc.rpartition("@")
    if not at:
        return url, ""
    basic = base64.b64encode(unquote(named).encode()).decode()
    return urlunsplit(split._replace(netloc=host)), f"Basic {basic}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
