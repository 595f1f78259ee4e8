"""``workshop room``: what an instructor does before the attendees come."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import astuple, replace
from pathlib import Path

from workshop.core.errors import SettingsError
from workshop.core.progress import stages
from workshop.core.settings import Settings
from workshop.core.table import as_text, counted, write
from workshop.parts.model import address
from workshop.room import attendees
from workshop.room.objects import Room, SharedModel, checked
from workshop.room.prepare import Preparing, Seat, by_number, named, remove, remove_shared
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.login import connect
from workshop.targets.cluster.manifests import is_openshift

HEAD = ("namespace", "attendee", "did", "rights", "quota", "model", "result")


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


def _progress(prefix: str, page: str) -> int:
    """Show how far the attendees are, once; or in a page, until Ctrl-C."""
    api = connect()
    if page:
        with stages("Room") as stage:
            attendees.follow(api, prefix, Path(page).absolute(), stage)
    found = attendees.look(api, prefix)
    if not found:
        raise SettingsError(
            f"There is no room {prefix!r}.", where=api.url, hint="workshop room --attendees N"
        )
    write(repr(found), "", attendees.summary(found))
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
