"""A part's log file: begun anew at each start, read from its end, followed as it grows."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from workshop.core.wait import NotYet, wait_for

BLOCK = 64 * 1024
"""Bytes read at a time from a log's end: more than the lines that an error shows."""

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def begin(path: Path, argv: Sequence[str]) -> None:
    """Keep the last log as ``<name>.1``, and begin a new one that says what is started, and when.

    Args:
        path: The log file; its folder exists.
        argv: The command line, free of secrets.
    """
    if path.exists():
        path.replace(path.with_name(f"{path.name}.1"))
    with open_to_append(path) as stream:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        stream.write(f"--- started {now} {shlex.join(argv)}\n".encode())


def open_to_append(path: Path) -> BinaryIO:
    """The log, made with mode 0600, to be handed to the process that writes it."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return os.fdopen(handle, "ab")


def tail(path: Path, lines: int) -> list[str]:
    """The last lines, oldest first; none when there is no log. Reads no more than it needs."""
    if lines <= 0:
        return []
    try:
        with path.open("rb") as stream:
            found, _ = _last(stream, lines)
    except FileNotFoundError:
        return []
    return found


def follow(path: Path, lines: int) -> Iterator[str]:
    """The last lines, then each further one when it is complete, until interrupted.

    A log that is not there yet is awaited; one that is begun anew is read on from its beginning.
    """
    reader = _Reader(path)
    try:
        yield from reader.open(lines)
        while True:
            yield from wait_for("the next line of the log", reader.read, timeout=math.inf)
    finally:
        reader.close()


class _Reader:
    """Reads on where it stopped, through a change of the file under the same name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BinaryIO | None = None
        self._rest = b""

    def open(self, lines: int) -> list[str]:
        """Begin at the last lines of what is there now."""
        try:
            self._stream = self._path.open("rb")
        except FileNotFoundError:
            return []
        found, self._rest = _last(self._stream, lines, whole=True)
        return found

    def read(self) -> list[str] | NotYet:
        """The lines that were completed since; NotYet when there are none."""
        # Asked before reading: what is written to the old file after that is never lost, because
        # a log is begun anew only when its writer has ended.
        changed = self._changed()
        found = self._complete()
        if changed and not found:
            self.close()
            self._stream = self._path.open("rb")
            found = self._complete()
        return found or NotYet("nothing new")

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
        self._stream, self._rest = None, b""

    def _changed(self) -> bool:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        if self._stream is None:
            return True
        before = os.fstat(self._stream.fileno())
        return (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino)

    def _complete(self) -> list[str]:
        if self._stream is None:
            return []
        *whole, self._rest = (self._rest + self._stream.read()).split(b"\n")
        return [_plain(line) for line in whole]


def _last(stream: BinaryIO, lines: int, *, whole: bool = False) -> tuple[list[str], bytes]:
    """The last lines, and what follows the last line end when only ``whole`` lines are wanted."""
    at = end = stream.seek(0, os.SEEK_END)
    text = b""
    while at > 0 and text.count(b"\n") <= lines:
        size = min(BLOCK, at)
        at -= size
        stream.seek(at)
        text = stream.read(size) + text
    stream.seek(end)
    *found, rest = text.split(b"\n")
    if rest and not whole:
        found.append(rest)
    return [_plain(line) for line in found[len(found) - min(lines, len(found)) :]], rest


def _plain(line: bytes) -> str:
    """As a person would see it: without colours, and of a redrawn line its last drawing."""
    text = _COLOUR.sub("", line.decode("utf-8", errors="replace")).rstrip()
    return text.rsplit("\r", 1)[-1]
