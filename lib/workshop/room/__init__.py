"""``workshop room``: what an instructor does before attendees come, and sees while they work."""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from workshop.core.errors import SettingsError
from workshop.core.files import write_private
from workshop.core.progress import Stages, stages
from workshop.core.settings import Settings
from workshop.core.table import Table, as_text, counted, write
from workshop.core.wait import NotYet, wait_for
from workshop.parts.model import address
from workshop.room.objects import ROOM, Room, SharedModel, checked
from workshop.room.prepare import Preparing, Seat, by_number, named, remove, remove_shared
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.login import connect
from workshop.targets.cluster.manifests import is_openshift
from workshop.targets.cluster.store import OFFER

HEAD = ("namespace", "attendee", "did", "rights", "quota", "model", "result")

EVERY = 10  # Seconds between two looks, and until a page is shown anew.
A_DAY = 86400.0  # Seconds: no workshop lasts longer.

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="{every}">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Room {prefix}: {summary}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .3rem .9rem .3rem 0; border-bottom: 1px solid #8888; vertical-align: top; }}
</style>
</head>
<body>
<main>
<h1>Room {prefix}</h1>
<p>{summary}, at {at}</p>
{table}
</main>
</body>
</html>
"""


def room(options: argparse.Namespace) -> int:
    """Prepare a room, or remove it; 1 when a namespace has a problem."""
    if options.progress:
        return _progress(options.prefix, options.page)
    names = (options.attendees or 0, options.prefix, options.user_prefix)
    wanted = checked(Room(*names, model=_model(options)))
    api = connect()
    if options.remove:
        return _remove(api, wanted.prefix, sure=options.yes)
    return _prepare(api, replace(wanted, openshift=is_openshift(api)), options)


def _progress(prefix: str, file: str) -> int:
    """Show how far the attendees are, once; or in a page, until Ctrl-C."""
    api = connect()
    if file:
        with stages("Room") as stage:
            follow(api, prefix, Path(file).absolute(), stage)
    found = look(api, prefix)
    if not found:
        raise SettingsError(
            f"There is no room {prefix!r}.", where=api.url, hint="workshop room --attendees N"
        )
    write(repr(found), "", summary(found))
    return 0


def _model(options: argparse.Namespace) -> SharedModel | None:
    if not options.model_url:
        if options.model_name:
            raise SettingsError("--model-name needs --model-url.")
        return None
    settings = Settings.from_env()
    ca = settings.model_ca_file.read_text(encoding="utf-8") if settings.model_ca_file else ""
    return SharedModel(address(options.model_url), options.model_name, settings.model_token, ca)


def _prepare(api: Api, wanted: Room, options: argparse.Namespace) -> int:
    with stages("Room") as stage:
        preparing = Preparing(api, wanted, stage)
        found = preparing.look(without_model=options.no_model)
        doomed = sorted(found.extra) if options.remove_extra else []
        if doomed and not options.yes:
            _confirm(doomed, "--remove-extra --yes")
        preparing.make(without=doomed)
        seats = preparing.check()
        remove(api, doomed, stage)
        seconds = stage.seconds
    failed = [seat for seat in seats if seat.problems]
    lines = [table(seats)]
    for seat in failed:
        lines += ["", f"{seat.namespace}: {len(seat.problems)} problems"]
        lines += [f"  {problem}" for problem in seat.problems]
    if found.extra and not doomed:
        names = ", ".join(sorted(found.extra, key=by_number))
        lines += ["", f"above --attendees {wanted.attendees}, and kept: {names}"]
        lines += ["  Hint: --remove-extra removes them with everything in them"]
    ready = f"{len(seats) - len(failed)} of {len(seats)} namespaces are ready"
    lines += ["", f"{ready}, after {seconds:.1f} s and {api.requests} requests"]
    write(*lines)
    return 1 if failed else 0


def _remove(api: Api, prefix: str, *, sure: bool) -> int:
    names = named(api, prefix)
    if names and not sure:
        _confirm(names, "--remove --yes")
    with stages("Room") as stage:
        remove(api, names, stage)
        shared = remove_shared(api, prefix)
    removed = [f"removed {what}" for what in [*(f"Namespace {name}" for name in names), *shared]]
    write(*(removed or [f"nothing has the label of the room {prefix!r}"]))
    return 0


def _confirm(names: Sequence[str], otherwise: str) -> None:
    """Ask a person at a terminal; a script must have said it."""
    count = counted(len(names), "namespace")
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    if not sys.stdin.isatty():
        raise SettingsError(
            f"{count} would be removed with everything in them, and there is nobody to ask.",
            state=shown,
            hint=f"workshop room {otherwise}",
        )
    sys.stderr.write(f"This removes {count} with everything in them: {shown}\nType yes to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() != "yes":
        raise SettingsError("Nothing was removed.", state="the answer was not yes")


def table(seats: Sequence[Seat]) -> str:
    """One line per attendee."""
    rows = [(*astuple(seat)[:-1], "FAIL" if seat.problems else "OK") for seat in seats]
    return as_text([HEAD, *rows])


# --- how far they are, as their notebooks keep it in each namespace -----------------------------


@dataclass(frozen=True)
class Attendee:
    """How far one is: the columns of the table.

    ``passed`` are the steps whose checkpoint passed; ``now`` the newest step, its state, and since
    when; ``said`` what its last cell said. ``quota`` is what is used of GPUs, CPUs and memory.
    """

    namespace: str
    passed: int
    now: str
    said: str
    quota: str


def look(api: Api, prefix: str) -> Table[Attendee]:
    """All attendees of a room: one list request for each of two kinds, however many there are."""
    labels = f"{ROOM}={prefix}"
    kept = {_namespace(one): one.get("data") or {} for one in _of(api, "ConfigMap", labels)}
    quotas = {_namespace(one): one.get("status") or {} for one in _of(api, "ResourceQuota", labels)}
    names = sorted({*kept, *quotas}, key=by_number)
    return Table(attendee(name, kept.get(name, {}), quotas.get(name, {})) for name in names)


def attendee(name: str, kept: Mapping[str, str], quota: Mapping[str, Any]) -> Attendee:
    """One attendee, from what the ConfigMap and the quota of the namespace say."""
    steps = {step: json.loads(told) for step, told in kept.items()}
    passed = sum(told["state"] == "passed" for told in steps.values())
    now = said = "-"
    if steps:
        step, told = max(steps.items(), key=lambda one: str(one[1]["at"]))
        since = datetime.fromisoformat(told["at"]).astimezone()
        now, said = f"{step} {told['state']} since {since:%H:%M}", told["said"] or "-"
    return Attendee(name, passed, now, said, _used(quota))


def summary(attendees: Iterable[Attendee]) -> str:
    """In a line: how many there are, and how many need help."""
    rows = list(attendees)
    failed = sum(" failed " in row.now for row in rows)
    begun = sum(row.now != "-" for row in rows)
    return f"{counted(len(rows), 'attendee')}: {begun} begun, {failed} at a failed cell"


def page(prefix: str, attendees: Table[Attendee]) -> str:
    """The same as HTML, which a browser loads again every ten seconds."""
    return PAGE.format(
        every=EVERY,
        prefix=prefix,
        summary=summary(attendees),
        at=f"{datetime.now().astimezone():%H:%M:%S}",
        table=attendees._repr_html_(),
    )


def follow(api: Api, prefix: str, path: Path, stage: Stages) -> None:
    """Write the page every ten seconds, until Ctrl-C."""
    stage(f"writing {path}: open it in a browser; Ctrl-C ends it")
    last = ""

    def again() -> NotYet:
        nonlocal last
        found = look(api, prefix)
        write_private(path, page(prefix, found), "The page", sync=False)
        if last != (last := summary(found)):
            stage(last)
        return NotYet(last)

    wait_for("Ctrl-C", again, timeout=A_DAY, every=EVERY, where=str(path))


def _of(api: Api, kind: str, labels: str) -> Iterable[Object]:
    return (one for one in api.each("v1", kind, labels) if one["metadata"]["name"] == OFFER)


def _namespace(thing: Object) -> str:
    return str(thing["metadata"]["namespace"])


def _used(quota: Mapping[str, Any]) -> str:
    hard, used = quota.get("hard") or {}, quota.get("used") or {}
    names = {"requests.nvidia.com/gpu": "GPU", "requests.cpu": "CPU", "requests.memory": "memory"}
    told = [f"{word} {used.get(key, 0)}/{hard[key]}" for key, word in names.items() if key in hard]
    return ", ".join(told) or "-"
