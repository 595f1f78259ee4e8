"""How far the attendees of a room are: what their notebooks keep in each namespace."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from workshop.core.files import write_private
from workshop.core.progress import Stages
from workshop.core.table import Table, counted
from workshop.core.wait import NotYet, wait_for
from workshop.room.objects import ROOM
from workshop.room.prepare import by_number
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.store import OFFER

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

    def write() -> NotYet:
        nonlocal last
        found = look(api, prefix)
        write_private(path, page(prefix, found), "The page", sync=False)
        if last != (last := summary(found)):
            stage(last)
        return NotYet(last)

    wait_for("Ctrl-C", write, timeout=A_DAY, every=EVERY, where=str(path))


def _of(api: Api, kind: str, labels: str) -> Iterable[Object]:
    return (one for one in api.each("v1", kind, labels) if one["metadata"]["name"] == OFFER)


def _namespace(thing: Object) -> str:
    return str(thing["metadata"]["namespace"])


def _used(quota: Mapping[str, Any]) -> str:
    hard, used = quota.get("hard") or {}, quota.get("used") or {}
    names = {"requests.nvidia.com/gpu": "GPU", "requests.cpu": "CPU", "requests.memory": "memory"}
    told = [f"{word} {used.get(key, 0)}/{hard[key]}" for key, word in names.items() if key in hard]
    return ", ".join(told) or "-"
