"""A part's log file: started afresh with each process, read from its end, followed as it grows."""

import os
import re
import shlex
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def start(path: Path, argv: Sequence[str]) -> BinaryIO:
    """Keep the last log as ``<name>.1``, and start a new one that says what is started, and when.

    The folder exists; ``argv`` is free of secrets. The log, with mode 0600, is for the process that
    writes it.
    """
    if path.exists():
        path.replace(path.with_name(f"{path.name}.1"))
    path.touch(mode=0o600)
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    path.write_text(f"--- started {now} {shlex.join(argv)}\n", encoding="utf-8")
    return path.open("ab", buffering=0)


def tail(path: Path, lines: int) -> list[str]:
    """The last lines, oldest first; none when there is no log."""
    try:
        with path.open("rb") as stream:
            return [_plain(line) for line in deque(stream, maxlen=max(0, lines))]
    except FileNotFoundError:
        return []


def follow(path: Path, lines: int) -> Iterator[str]:
    """The last lines, then each further one when it is complete, until interrupted.

    A log that is not there yet is waited for; one that replaces it is read from its beginning.
    """
    stream: BinaryIO | None = None
    rest = b""
    try:
        while True:
            # Asked before reading: what is written to the old file after that is never lost,
            # because a log is replaced only when its writer has ended.
            renewed = _is_another(path, stream)
            *whole, rest = (rest + (stream.read() if stream else b"")).split(b"\n")
            if renewed and not whole:
                if stream:
                    stream.close()
                stream = path.open("rb")
                *whole, rest = stream.read().split(b"\n")
            yield from map(_plain, whole[max(0, len(whole) - lines) :])
            # Whatever comes from now on is new.
            lines = sys.maxsize
            if not whole:
                time.sleep(0.2)
    finally:
        if stream:
            stream.close()


def _is_another(path: Path, stream: BinaryIO | None) -> bool:
    """Whether the file of this name is not the one that is read."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return stream is None or not os.path.samestat(there, os.fstat(stream.fileno()))


def _plain(line: bytes) -> str:
    """As a person would see it: without colours, and of a redrawn line its last drawing."""
    text = _COLOUR.sub("", line.decode("utf-8", errors="replace")).rstrip()
    return text.rsplit("\r", 1)[-1]
