"""Which folder a state belongs to: in a copy, what it names belongs to another folder.

A state names processes, ports and paths. So it keeps the path at which it was last used, and an id
by which a copy is told from a folder that was moved. Nothing here signals a process: what carries
another folder's mark is left to the user.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from workshop.core import files
from workshop.core.errors import WorkshopError
from workshop.targets.local import tree

NAME = "place.json"


@dataclass(frozen=True)
class Place:
    """What ``place.json`` says: an id that is made once, and where the state was last used."""

    id: str
    path: str


def settle(local: Path) -> None:
    """Note that the state is used here: at its first change, and at the first after a move.

    Args:
        local: The folder ``local`` of the state.

    Raises:
        WorkshopError: It cannot be written.
    """
    known, here = _read(local), str(local.resolve())
    if known and known.path == here:
        return
    files.private_folder(local)
    # It holds credentials, wherever WORKSHOP_HOME has put it.
    files.write_private(local / ".gitignore", "*\n")
    place = Place(known.id if known else secrets.token_hex(8), here)
    files.write_json(local / NAME, asdict(place))


def check(local: Path) -> None:
    """Make sure that the state is this folder's own, and that nothing runs which it was moved from.

    Raises:
        WorkshopError: It is a copy of another folder's, or it was moved while its parts ran, or
            parts run of a folder that was here before.
    """
    place, here = _read(local), local.resolve()
    if place is None and not any(local.glob("*/process.json")):
        left = _marked(lambda mark: mark.is_relative_to(here))
        if left:
            raise WorkshopError(
                "Parts still run of a folder that was here before.",
                where=str(local.parent),
                state=_listed(left),
                hint=f"end them: {_kill(left)}; then run this again",
            )
    if place is None or place.path == str(here):
        return
    before = Path(place.path)
    if _is_copy(place, before, here):
        raise WorkshopError(
            "This folder's state is a copy of another folder's.",
            where=str(local.parent),
            state=f"its parts, data and passwords are those of {before.parent}",
            hint=f"go on in that folder, or begin anew in this one: rm -r {local}",
        )
    recorded = {pid for pid in map(_pid, local.glob("*/process.json")) if pid}
    left = _marked(lambda mark: mark.is_relative_to(before))
    left = {pid: name for pid, name in left.items() if pid in recorded}
    if left:
        raise WorkshopError(
            "This folder was moved while its parts ran.",
            where=str(local.parent),
            state=f"{_listed(left)}: started in {before.parent}, where their files are no more",
            hint=f"end them: {_kill(left)}; then run this again. Data is kept",
        )


def _is_copy(place: Place, before: Path, here: Path) -> bool:
    # A folder that cannot be read is another user's: nothing there can be signalled or removed.
    with suppress(WorkshopError, OSError):
        original = _read(before)
        return original is not None and original.id == place.id and not before.samefile(here)
    return False


def _read(local: Path) -> Place | None:
    hint = f"restore it, or remove it when no part runs: rm {local / NAME}"
    content = files.read_json(local / NAME, hint=hint)
    if content is None:
        return None
    try:
        return Place(str(content["id"]), str(content["path"]))
    except KeyError as error:
        raise files.damaged(local / NAME, f"it lacks {error}", hint=hint) from None


def _marked(wanted: Callable[[Path], bool]) -> dict[int, str]:
    """Processes of parts whose control folder is wanted, with the part's name."""
    found = {}
    for process in psutil.process_iter():
        mark = tree.mark_of(process)
        if mark and wanted(Path(mark)) and not tree.is_over(process):
            found[process.pid] = Path(mark).name
    return found


def _pid(record: Path) -> int:
    with suppress(WorkshopError, KeyError, TypeError, ValueError):
        return int((files.read_json(record, hint="") or {})["pid"])
    return 0


def _listed(parts: dict[int, str]) -> str:
    return ", ".join(f"{name} (pid {pid})" for pid, name in parts.items())


def _kill(parts: dict[int, str]) -> str:
    return "kill " + " ".join(map(str, parts))
