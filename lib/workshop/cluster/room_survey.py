"""What there is of a room: one list for each kind, over all namespaces, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from workshop.cluster.api import Api
from workshop.cluster.room_objects import KINDS, NAME, ROOM, Room, is_right
from workshop.cluster.transport import Object


@dataclass
class Found:
    """What there is of a room.

    Args:
        ours: The numbers of namespaces that carry the room's label.
        strangers: The numbers of namespaces that have such a name, and no label.
        ending: The names of namespaces that are being deleted.
        extra: The names of the room's namespaces above the last attendee.
        right: Kind and number of each object that is as it shall be.
        offers: The namespaces in which a model is offered.
        kept: What is known of that model: ``url``, ``name``, ``token``, ``ca``.
    """

    ours: set[int] = field(default_factory=set)
    strangers: set[int] = field(default_factory=set)
    ending: set[str] = field(default_factory=set)
    extra: list[str] = field(default_factory=list)
    right: set[tuple[str, int]] = field(default_factory=set)
    offers: list[str] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)


def survey(api: Api, room: Room) -> Found:
    """List what there is: one request for each kind and page, however many attendees."""
    found = Found()
    for thing in api.each("v1", "Namespace"):
        _place(found, room, thing)
    for api_version, kind in KINDS:
        for thing in api.each(api_version, kind, room.selector):
            meta = thing["metadata"]
            number = room.number(meta["namespace"])
            if number not in found.ours or meta["name"] != NAME:
                continue
            if kind == "Secret":
                found.offers.append(meta["namespace"])
                found.kept |= set(thing.get("data") or {})
            if (api_version, kind) in room.kinds and is_right(room.build(kind, number), thing):
                found.right.add((kind, number))
    return found


def _place(found: Found, room: Room, namespace: Object) -> None:
    meta = namespace["metadata"]
    name, number = meta["name"], room.number(meta["name"])
    ours = (meta.get("labels") or {}).get(ROOM) == room.prefix
    wanted = number is not None and number <= room.attendees
    if meta.get("deletionTimestamp") and (ours or wanted):
        found.ending.add(name)
    elif ours and number is not None and wanted:
        found.ours.add(number)
        if is_right(room.build("Namespace", number), namespace):
            found.right.add(("Namespace", number))
    elif ours:
        found.extra.append(name)
    elif number is not None and wanted:
        found.strangers.add(number)
