"""What one notebook leaves for the next: credentials, facts, and how to reach each part.

A state names processes, ports and paths. So it keeps the path at which it was last used, and an id
by which a copy is told from a folder that was moved. Nothing here signals a process: what carries
another folder's mark is left to the user.
"""

import copy
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from workshop.core import files, proxies
from workshop.core.errors import StepMissing, WorkshopError
from workshop.core.secret import Secret
from workshop.targets.base import Endpoint
from workshop.targets.local.process import is_over, mark_of

_SECRETS_HINT = (
    "workshop stop, then move this file away: notebooks 02 to 05 make their credentials again"
)
_FACTS_HINT = "move this file away, and run the notebooks again from 02 on: what runs is reused"


class Store:
    """The state of one checkout, in its ``.workshop`` folder, which is made at the first change.

    Two processes may use it at once: each change is made under a lock, and each file is replaced
    in one step.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.local = root / "local"
        self.secrets_path = self.local / "secrets.json"
        self.facts_path = self.local / "facts.json"

    def folder(self, part: str) -> Path:
        """The control folder of a part's process."""
        return self.local / part

    def secret(self, name: str, make: Callable[[], str]) -> Secret:
        """See ``Store.secret``: two processes that ask at the same time get the same one."""
        with self._change() as (known, _, _):
            if name not in known:
                known[name] = Secret(make()).reveal()
            return Secret(known[name])

    def renew(self, _part: str, credential: str, make: Callable[[], str]) -> Secret:
        """Put a new credential in this one's place; see ``Store.renew``."""
        old = _before(credential)
        with self._change() as (known, _, _):
            if credential not in known:
                raise StepMissing(f"There is no {credential} yet.", hint="run 02 to 05 first")
            if old not in known:
                known |= {old: known[credential], credential: make()}
            return Secret(known[old])

    def retire(self, credential: str) -> None:
        """Forget the old one."""
        with self._change() as (known, _, _):
            known.pop(_before(credential), None)

    def secrets(self) -> list[Secret]:
        """All credentials that are kept, or that the environment's proxies are given: to mask."""
        return [*map(Secret, self._read_secrets().values()), *proxies.secrets()]

    def remember(self, name: str, value: str | None) -> None:
        """Keep a plain fact; None forgets it."""
        with self._change() as (_, facts, _):
            facts.pop(name, None)
            if value is not None:
                facts[name] = value

    def recall(self, name: str) -> str | None:
        """A fact that was kept, or None."""
        fact: str | None = self._read_facts()["facts"].get(name)
        return fact

    def offered(self, _part: str) -> tuple[Endpoint, str] | None:
        """Nothing: nobody prepares this machine for others."""
        return None

    def save_endpoint(self, name: str, endpoint: Endpoint) -> None:
        """Keep how to reach a part; its credentials go where credentials are."""
        given = {"token": endpoint.token, "password": endpoint.password}
        with self._change() as (known, _, endpoints):
            _drop_credentials(known, name)
            known |= {f"{name}/{kind}": secret.reveal() for kind, secret in given.items() if secret}
            endpoints[name] = {
                "url": endpoint.url,
                "user": endpoint.user,
                "ca_file": str(endpoint.ca_file) if endpoint.ca_file else None,
                "also": dict(endpoint.also),
                "credentials": [kind for kind, secret in given.items() if secret],
                "adopted": endpoint.adopted,
            }

    def endpoint(self, name: str) -> Endpoint | None:
        """How to reach a part, or None when that was not kept."""
        record = self._read_facts()["endpoints"].get(name)
        if record is None:
            return None
        known = self._read_secrets()
        try:
            given: dict[str, Any]
            given = {kind: Secret(known[f"{name}/{kind}"]) for kind in record["credentials"]}
            given |= {key: record[key] for key in ("url", "user", "also")}
            ca_file = Path(record["ca_file"]) if record["ca_file"] else None
            return Endpoint(**given, ca_file=ca_file, adopted=record.get("adopted", False))
        except (KeyError, TypeError) as error:
            raise files.damaged(
                self.facts_path, f"the endpoint of {name} lacks {error}", hint=_FACTS_HINT
            ) from None

    def forget(self, name: str) -> None:
        """Forget how to reach a part, and the credentials that were kept with that."""
        with self._change() as (known, _, endpoints):
            if endpoints.pop(name, None) is not None:
                _drop_credentials(known, name)

    @contextmanager
    def _change(self) -> Iterator[tuple[dict[str, str], dict[str, str], dict[str, Any]]]:
        """Credentials, facts and endpoints; what the block changes of them is written after it."""
        with files.turn(self.local / "state.lock"):
            known, content = self._read_secrets(), self._read_facts()
            before = copy.deepcopy((known, content))
            yield known, content["facts"], content["endpoints"]
            writes: list[tuple[Path, Any, Any]]
            writes = [(self.secrets_path, before[0], known), (self.facts_path, before[1], content)]
            # An endpoint without its token would look like an open one: it comes last, goes first.
            for path, old, new in writes if len(known) >= len(before[0]) else writes[::-1]:
                if new != old:
                    settle(self.local)
                    files.write_json(path, new)

    def _read_secrets(self) -> dict[str, str]:
        path, hint = self.secrets_path, _SECRETS_HINT
        content = files.read_json(path, hint=hint) or {}
        if not all(isinstance(value, str) and value for value in content.values()):
            raise files.damaged(path, "a value is not a text or is empty", hint=hint)
        return content

    def _read_facts(self) -> dict[str, dict[str, Any]]:
        content: dict[str, dict[str, Any]] = {"facts": {}, "endpoints": {}}
        content |= files.read_json(self.facts_path, hint=_FACTS_HINT) or {}
        if not all(isinstance(kept, dict) for kept in content.values()):
            raise files.damaged(self.facts_path, "not as written", hint=_FACTS_HINT)
        return content


def _before(credential: str) -> str:
    return f"{credential} before"


def _drop_credentials(known: dict[str, str], part: str) -> None:
    for kind in ("token", "password"):
        known.pop(f"{part}/{kind}", None)


# --- whose state it is ---------------------------------------------------------------------------

PLACE = "place.json"  # An id that is made once, and where the state was last used: `id` and `path`.


def settle(local: Path) -> None:
    """Note that the state is used in this folder: at its first change, and after a move."""
    known, here = _read_place(local), str(local.resolve())
    if known and known["path"] == here:
        return
    files.private_folder(local)
    # It holds credentials, wherever WORKSHOP_HOME has put it.
    files.write_private(local / ".gitignore", "*\n")
    place = {"id": known["id"] if known else secrets.token_hex(8), "path": here}
    files.write_json(local / PLACE, place)


def check(local: Path) -> None:
    """Make sure that the state is this folder's own, and that nothing runs which it was moved from.

    Raises ``WorkshopError`` where it is a copy of another folder's, or it was moved while its parts
    ran, or parts run of a folder that was here before.
    """
    place, here = _read_place(local), local.resolve()
    before = Path(place["path"]) if place else here
    recorded = {_pid(path) for path in local.glob("*/process.json")}
    # An earlier version kept no place: what is recorded is then this folder's own.
    if before == here if place else recorded:
        return
    if place and _is_copy(place, before, here):
        raise WorkshopError(
            "This folder's state is a copy of another folder's.",
            where=str(local.parent),
            state=f"its parts, data and passwords are those of {before.parent}",
            hint=f"go on in that folder, or start over in this one: rm -r {local}",
        )
    left = _running_of(before)
    if place:
        left = {pid: name for pid, name in left.items() if pid in recorded}
    if not left:
        return
    what = "Parts still run of a folder that was here before."
    state = ", ".join(f"{name} (pid {pid})" for pid, name in left.items())
    hint = f"end them: kill {' '.join(map(str, left))}; then run this again"
    if place:
        what = "This folder was moved while its parts ran."
        state += f": started in {before.parent}, where their files no longer are"
        hint += ". Data is kept"
    raise WorkshopError(what, where=str(local.parent), state=state, hint=hint)


def _is_copy(place: dict[str, str], before: Path, here: Path) -> bool:
    # A folder that cannot be read is another user's: nothing there can be signalled or removed.
    with suppress(WorkshopError, OSError):
        original = _read_place(before)
        same = original is not None and original["id"] == place["id"]
        return same and not before.samefile(here)
    return False


def _read_place(local: Path) -> dict[str, str] | None:
    hint = f"restore it, or remove it when no part runs: rm {local / PLACE}"
    content = files.read_json(local / PLACE, hint=hint)
    if content is None:
        return None
    try:
        return {key: str(content[key]) for key in ("id", "path")}
    except KeyError as error:
        raise files.damaged(local / PLACE, f"it lacks {error}", hint=hint) from None


def _running_of(local: Path) -> dict[int, str]:
    """The parts that were started in this folder and run: names by pid."""
    found = {}
    for process in psutil.process_iter():
        mark = mark_of(process)
        if mark and Path(mark).is_relative_to(local) and not is_over(process):
            found[process.pid] = Path(mark).name
    return found


def _pid(record: Path) -> int:
    with suppress(WorkshopError, KeyError, TypeError, ValueError):
        return int((files.read_json(record, hint="") or {})["pid"])
    return 0
