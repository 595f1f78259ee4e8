"""Prepares a room: a namespace for each attendee, all of them checked.

What is there is listed once for each kind, over all namespaces, a page at a time; what is right
already is left alone, and the rest is applied by a few threads. So it may be cut at any moment, and
repeated.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from types import FrameType

from workshop.core.errors import PartTooSlow, SettingsError
from workshop.core.progress import Stages
from workshop.core.wait import NotYet, wait_for
from workshop.room.objects import CLUSTER_KINDS, KINDS, ROOM, SEEN, Room, is_right
from workshop.targets.cluster import objects, permissions
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.errors import Refused
from workshop.targets.cluster.objects import labels_of
from workshop.targets.cluster.permissions import Right
from workshop.targets.cluster.store import OFFER


@dataclass
class Found:
    """What there is of a room, by the numbers of its namespaces, or by their names.

    ``strangers`` have such a name, and not the room's label; ``extra`` are above the last attendee.
    ``right`` are kind and number of each object that is as it should be. A model is offered in
    ``offers``, and of it ``kept`` is known: ``url``, ``token``.
    """

    ours: set[int] = field(default_factory=set)
    strangers: set[int] = field(default_factory=set)
    ending: set[str] = field(default_factory=set)
    extra: list[str] = field(default_factory=list)
    right: set[tuple[str, int]] = field(default_factory=set)
    offers: list[int] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)


def survey(api: Api, room: Room) -> Found:
    """List what there is: one request for each kind and page, however many attendees."""
    found = Found()
    for thing in api.each("v1", "Namespace"):
        _place(found, room, thing)
    for api_version, kind in KINDS:
        for thing in api.each(api_version, kind, f"{ROOM}={room.prefix}"):
            meta = thing["metadata"]
            number = room.number(meta["namespace"])
            if number not in found.ours or meta["name"] != OFFER:
                continue
            if kind == "Secret":
                found.offers.append(number)
                found.kept |= set(thing.get("data") or {})
            if (api_version, kind) in room.kinds and is_right(room.build(kind, number), thing):
                found.right.add((kind, number))
    return found


def _place(found: Found, room: Room, namespace: Object) -> None:
    meta = namespace["metadata"]
    name, number = meta["name"], room.number(meta["name"])
    ours = labels_of(namespace).get(ROOM) == room.prefix
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


SETTLED = 10.0  # Seconds until a new RoleBinding counts: each API server learns of it by a watch.


@dataclass
class Seat:
    """One attendee's namespace: the columns of the table, then what is wrong.

    ``did`` is ``created``, ``changed``, ``unchanged`` or ``left alone``; ``rights`` are how many
    there are of those that the notebooks need, such as ``104/104``.
    """

    namespace: str
    user: str
    did: str = "unchanged"
    rights: str = "-"
    quota: str = "-"
    model: str = "-"
    problems: list[str] = field(default_factory=list)


class Preparing:
    """One run of ``workshop room``, as the cluster's administrator."""

    def __init__(self, api: Api, room: Room, stage: Stages) -> None:
        self._api = api
        self._room = room
        self._stage = stage
        self.seats = {n: Seat(room.namespace(n), room.user(n)) for n in room.numbers}
        self.found = Found()
        self._made = 0.0

    def look(self, *, without_model: bool = False) -> Found:
        """See what is there, before anything is changed; ``without_model``: its model may go.

        Refused where the arguments would take the room's model away unsaid.
        """
        self._stage(f"looking at what {self._api.url} has")
        self.found = survey(self._api, self._room)
        model, kept, left_out = self._room.model, self.found.kept, ""
        if model is None:
            left_out = "it offers a model, and --model-url is not given"
        elif "token" in kept and model.token is None:
            left_out = "its model has a token, and MODEL_TOKEN is not set"
        elif "ca" in kept and not model.ca:
            left_out = "its model has a CA, and MODEL_CA_FILE is not set"
        if self.found.offers and left_out and not without_model:
            raise SettingsError(
                "This room shares a model, and these options do not give all of it.",
                where=self._api.url,
                state=left_out,
                hint="give all options of the model again; or --no-model, to remove it",
            )
        return self.found

    def make(self, *, without: Sequence[str] = ()) -> None:
        """Make what is missing and fix what is not right; those of ``without`` will be removed."""
        if self.found.ending:
            # Nothing can be put into namespaces that are being deleted.
            gone(self._api, self._stage, lambda: survey(self._api, self._room).ending)
            self.found = survey(self._api, self._room)
        room, found = self._room, self.found
        for number in found.strangers:
            self.seats[number].did = "left alone"
            self.seats[number].problems.append(
                f"{room.namespace(number)} is not of this room: nothing in it was touched; "
                "take another --prefix, or remove it"
            )
        mine = [number for number in room.numbers if number not in found.strangers]
        kept = [room.number(name) for name in found.extra if name not in without]
        for thing in room.shared([*mine, *(number for number in kept if number)]):
            self._api.apply(thing)
        new = [number for number in mine if ("Namespace", number) not in found.right]
        self._each("namespaces", self._namespace, new)
        # Then what is in them: the API servers know a namespace that is a moment old.
        todo = [
            number
            for number in mine
            if not self.seats[number].problems
            and any((kind, number) not in found.right for _, kind in room.kinds)
        ]
        self._each("what is in them", self._content, todo)
        if room.model is None and found.offers:
            self._each("shared models taken out", self._without_model, found.offers)
        self._made = time.monotonic()

    def check(self) -> list[Seat]:
        """Look again, and ask the API server what each attendee may do; one seat an attendee."""
        self.found = survey(self._api, self._room)
        needs = needed(self._api)
        mine = [n for n, seat in self.seats.items() if seat.did != "left alone"]
        self._each("checks", lambda number: self._check(number, needs), mine)
        return [self.seats[number] for number in self._room.numbers]

    def _namespace(self, number: int) -> None:
        wanted = self._room.build("Namespace", number)
        if number in self.found.ours:
            self.seats[number].did = "changed"
            change = {key: wanted["metadata"].get(key, {}) for key in ("labels", "annotations")}
            self._api.merge(wanted, {"metadata": change})
            return
        # Not applied: one that somebody else makes at this moment is not to be taken over.
        self._api.create(wanted)
        self.seats[number].did = "created"

    def _content(self, number: int) -> None:
        seat = self.seats[number]
        if seat.did == "unchanged":
            seat.did = "changed"
        for _, kind in self._room.kinds:
            if (kind, number) not in self.found.right:
                self._api.apply(self._room.build(kind, number))

    def _without_model(self, number: int) -> None:
        seat = self.seats[number]
        meta = {"name": OFFER, "namespace": seat.namespace}
        gone = self._api.delete(objects.made("v1", "Secret", meta))
        if gone and seat.did == "unchanged":
            seat.did = "changed"

    def _check(self, number: int, needs: Sequence[Right]) -> None:
        seat = self.seats[number]
        kinds = ("Namespace", *(kind for _, kind in self._room.kinds))
        wrong = [kind for kind in kinds if (kind, number) not in self.found.right]
        seat.quota = "no" if {"ResourceQuota", "LimitRange"} & set(wrong) else "yes"
        if self._room.model:
            seat.model = "no" if "Secret" in wrong else "yes"
        if not seat.problems:
            seat.problems += [f"the {kind} is not as it was applied" for kind in wrong]
        absent = self._absent(seat, needs)
        lacks = [one for one in absent if not may(self._api, seat.user, seat.namespace, one)]
        seat.rights = f"{len(needs) - len(lacks)}/{len(needs)}"
        if lacks:
            words = [
                f"{verb} {resource}" + (f".{group}" if group else "")
                for group, resource, verb, _ in lacks
            ]
            more = f" and {len(words) - 4} more" if len(words) > 4 else ""
            seat.problems.append(f"{seat.user} may not {', '.join(words[:4])}{more}")

    def _absent(self, seat: Seat, needs: Sequence[Right]) -> list[Right]:
        """What the API server does not list, once a RoleBinding of this run had time to count."""
        absent: list[Right] = []

        def settled() -> object:
            absent[:] = lacking(listed(self._api, seat.user, seat.namespace), needs)
            return NotYet("its RoleBinding does not work yet") if absent else True

        left = self._made + SETTLED - time.monotonic()
        with contextlib.suppress(PartTooSlow):
            wait_for("its RoleBinding to work", settled, timeout=max(0.0, left), every=0.2)
        return absent

    def _each(self, what: str, do: Callable[[int], None], numbers: Sequence[int]) -> None:
        """Do it for each. A refusal is that attendee's problem; any other error ends it."""

        def one(number: int) -> None:
            try:
                do(number)
            except Refused as error:
                if error.code == 401:
                    raise
                self.seats[number].problems.append(f"{error.what} {error.state}")

        for_all(one, numbers, self._stage, what)


def needed(api: Api) -> list[Right]:
    """Every right that an attendee needs on this cluster."""
    seen = [("", "resourcequotas"), *((group, one) for group in SEEN for one in SEEN[group])]
    looks = [Right(group, resource, verb) for group, resource in seen for verb in ("get", "list")]
    return permissions.needed(api) + looks


def listed(api: Api, user: str, namespace: str) -> set[tuple[str, str, str]]:
    """All that a user may do in a namespace, by one request, which asks as that user.

    An authorizer need not be able to list its rules: a right that is not among them may be there.
    """
    what, headers = f"list what {user} may do in {namespace}", {"Impersonate-User": user}
    said = _review(api, "SelfSubjectRulesReview", {"namespace": namespace}, what, headers)
    return granted(said["resourceRules"])


def granted(rules: Iterable[Object]) -> set[tuple[str, str, str]]:
    """Each right in these rules. One that is for some names alone does not count."""
    return {
        right
        for rule in rules
        if not rule.get("resourceNames")
        for right in product(*(rule.get(key) or [] for key in ("apiGroups", "resources", "verbs")))
    }


def lacking(given: Set[tuple[str, str, str]], wanted: Iterable[Right]) -> list[Right]:
    """The rights that none of these gives, each of them also by a rule with ``*``."""
    return [
        right for right in wanted if given.isdisjoint(product(*((word, "*") for word in right[:3])))
    ]


def may(api: Api, user: str, namespace: str, right: Right) -> bool:
    """Whether a user has this right: a SubjectAccessReview, the API server's last word."""
    group, resource, verb = right[:3]
    asked = permissions.attributes(Right(group, resource, verb, namespace))
    # The group is that of everybody who has logged in.
    spec = {"user": user, "groups": ["system:authenticated"], "resourceAttributes": asked}
    what = f"ask whether {user} may {verb} {resource}"
    return bool(_review(api, "SubjectAccessReview", spec, what)["allowed"])


def _review(
    api: Api, kind: str, spec: Object, what: str, headers: Mapping[str, str] = {}
) -> Object:
    """What the API server says of rights."""
    group = "authorization.k8s.io/v1"
    body, path = objects.made(group, kind, {}, spec=spec), f"/apis/{group}/{kind.lower()}s"
    said: Object = api.request("POST", path, body=body, what=what, headers=headers)["status"]
    return said


AT_ONCE = 8  # Requests at the same time, each on a connection of its own.
SHOWN = 0.5  # Seconds between two lines of progress.
GONE = 900.0
"""Seconds for namespaces to be gone. The cluster empties ten at a time, each in 5 seconds or more;
one whose pods take their half minute to end lasts longer."""


def named(api: Api, prefix: str) -> list[str]:
    """The namespaces that carry the label of this room."""
    names = (one["metadata"]["name"] for one in api.each("v1", "Namespace", f"{ROOM}={prefix}"))
    return sorted(names, key=by_number)


def by_number(namespace: str) -> tuple[int, str]:
    """A key that sorts ``attendee-10`` behind ``attendee-9``."""
    return len(namespace), namespace


def remove(api: Api, names: Sequence[str], stage: Stages) -> None:
    """Delete these namespaces with all that is in them, and wait until they are gone."""
    if not names:
        return

    def one(name: str) -> None:
        try:
            api.delete(objects.made("v1", "Namespace", {"name": name}))
        except Refused as error:
            # It is being deleted already, as after Ctrl-C.
            if error.code != 409:
                raise

    def left() -> set[str]:
        return {one["metadata"]["name"] for one in api.each("v1", "Namespace", ROOM)} & set(names)

    for_all(one, names, stage, "deleting namespaces")
    gone(api, stage, left)


def remove_shared(api: Api, prefix: str) -> list[str]:
    """Delete what a room has outside of its namespaces."""
    every = (one for kind in CLUSTER_KINDS for one in api.list(*kind, f"{ROOM}={prefix}"))
    return [" ".join(objects.key(one)) for one in every if api.delete(one)]


def gone(api: Api, stage: Stages, left: Callable[[], Iterable[str]]) -> None:
    """Wait until none of these namespaces is left."""

    def probe() -> object:
        names = sorted(left())
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        return NotYet(f"{len(names)} left: {shown}") if names else True

    wait_for(
        "deleted namespaces to be gone",
        probe,
        timeout=GONE,
        every=1.0,
        stage=stage,
        where=api.url,
        hint="kubectl get namespace NAME -o yaml: its conditions say what keeps it",
    )


def for_all[Item](
    do: Callable[[Item], None], items: Sequence[Item], stage: Stages, what: str
) -> None:
    """Do it for each item, ``AT_ONCE`` at a time. The first error, or Ctrl-C, starts no more.

    Ctrl-C is kept until the pool has ended: raised while Python holds a lock of its own, it leaves
    it locked, and threads wait for it forever. A second one does not wait.
    """
    if not items:
        return
    stage(f"{what}: {len(items)}")
    over, is_interrupted = threading.Event(), False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_interrupted
        if is_interrupted:
            raise KeyboardInterrupt
        is_interrupted = True
        over.set()

    def guarded(item: Item) -> None:
        try:
            if not over.is_set():
                do(item)
        except BaseException:
            over.set()
            raise

    before = signal.signal(signal.SIGINT, interrupt)
    shown = time.monotonic()
    try:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="room") as pool:
            for done, _ in enumerate(pool.map(guarded, items), 1):
                if time.monotonic() - shown >= SHOWN:
                    stage.waiting(f"{what}: {done} of {len(items)}")
                    shown = time.monotonic()
    finally:
        signal.signal(signal.SIGINT, before)
    if is_interrupted:
        raise KeyboardInterrupt
