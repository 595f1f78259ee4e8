"""Unpacks a wheel: ``python -I unpack.py WHEEL FOLDER [PREFIX...]``.

A program of its own, because thousands of small files take many times longer in a process whose
other threads hash and download.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path


def unpack(wheel: Path, folder: Path, prefixes: Sequence[str] = ()) -> None:
    """Unpack the files whose names begin with one of the prefixes (all, when there is none).

    Unlike ``zipfile`` alone it keeps the files' modes, so that programs can be run.
    """
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if prefixes and not member.filename.startswith(tuple(prefixes)):
                continue
            written = Path(archive.extract(member, folder))
            mode = member.external_attr >> 16 & 0o777
            if mode and not member.is_dir():
                written.chmod(mode | 0o600)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
