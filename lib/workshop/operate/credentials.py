"""New credentials: the server gets the new one, then its callers, and the old one is refused.

Until the old one is refused both are kept, so that a rotation that was interrupted is finished by
the next one, and never started a second time.
"""

import functools
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from workshop.agent import questions
from workshop.agent.agent import create_agent
from workshop.agent.answer import Answer, NotAsked
from workshop.core.errors import EndpointError, PartTooSlow, SettingsError, StepMissing
from workshop.core.progress import Stages, stages
from workshop.core.secret import Secret
from workshop.core.table import Table
from workshop.core.wait import NotYet, wait_for
from workshop.parts import mongodb
from workshop.parts.catalog import ALL
from workshop.targets.base import Target, is_yours
from workshop.targets.spec import Spec

REFUSED = "refused"

PATIENCE = 180.0
"""Seconds until the old credential must be refused: OpenShift AI's proxy believes a token that it
has asked about for two minutes."""


@dataclass(frozen=True)
class Rotated:
    """A part's new credential, or why there is none."""

    part: str
    callers: str = ""  # The parts that send it, which got the new one too.
    old: str = ""  # What the server said to the old one, such as ``refused: HTTP 401``.
    seconds: float = 0.0  # The time that it took.
    skipped: str = ""  # Why it was not rotated, or "".


@dataclass(frozen=True)
class Rotation:
    """Rotated credentials, and what the agent answered before and after."""

    rows: Table[Rotated]
    before: Answer | NotAsked
    after: Answer | NotAsked

    def __repr__(self) -> str:
        shown = [repr(self.rows)]
        for when, one in (("before:", self.before), ("after: ", self.after)):
            text = one.text if isinstance(one, Answer) else repr(one)
            shown.append(f"{when} {one.question} {text}")
        return "\n".join(shown)


def rotate_credentials(
    target: Target, parts: str, *, use_mongodb: bool = True, timeout: float = 300.0
) -> Rotation:
    """Rotate the credentials of these parts one by one, and ask the agent before and after.

    ``parts`` are names, divided by commas, of those that have a credential. Without ``use_mongodb``
    the agent is asked about the runbooks. ``timeout`` are the seconds for each part to be ready
    again. Raises ``SettingsError`` where there is no such part, else as ``Agent.ask``.
    """
    names = [name for name in (one.strip() for one in parts.split(",")) if name]
    for name in names:
        _known(name)
    asked = questions.DATABASE_QUESTIONS if use_mongodb else questions.RUNBOOK_QUESTIONS
    question = asked[0].text
    if not names:
        nothing = NotAsked(question, "nothing was rotated")
        return Rotation(Table(), nothing, nothing)
    before = create_agent(target, use_mongodb=use_mongodb).ask(question)
    rows = Table(rotate_credential(target, name, timeout=timeout) for name in names)
    # A new one: the first holds the old secret.
    after = create_agent(target, use_mongodb=use_mongodb).ask(question)
    return Rotation(rows, before, after)


def rotate_credential(target: Target, part: str, *, timeout: float = 300.0) -> Rotated:
    """Give a part a new credential; run again after an interruption, it finishes the rotation.

    A part without a credential is a ``SettingsError``; ``timeout`` are the seconds for each part to
    be ready again.
    """
    spec, fact = _known(part), f"rotating {part}"
    with stages(f"Rotation of {part}") as stage:
        if is_yours(target, part):
            return Rotated(part, skipped="it is yours: change its credential there")
        if part == mongodb.PART and target.store.recall(mongodb.MOVED):
            moved = "its documents are in the replica set, whose credentials this does not change"
            return Rotated(part, skipped=moved)
        try:
            target.find(part)
        except StepMissing as missing:
            if not target.store.recall(fact):
                return Rotated(part, skipped=missing.what)
        target.store.remember(fact, "begun")
        old = [
            target.store.renew(part, credential, lambda: secrets.token_urlsafe(32))
            for credential in spec.credentials
        ]
        stage("made: a new " + " and a new ".join(spec.credentials))
        asks = (spec.rotate or functools.partial(_deployed, spec))(target, old, timeout, stage)
        for caller in filter(None, map(ALL.get, spec.callers)):
            _redeploy(target, caller, timeout, stage)
        said = [_refused(ask, stage) for ask in asks]
        worst = next((one for one in said if not one.startswith(REFUSED)), said[0])
        if worst.startswith(REFUSED):
            for credential in spec.credentials:
                target.store.retire(credential)
            target.store.remember(fact, None)
        stage(f"the old credential: {worst}")
        return Rotated(part, ", ".join(spec.callers), worst, round(stage.seconds, 1))


def _deployed(
    spec: Spec, target: Target, old: Sequence[Secret], timeout: float, stage: Stages
) -> Sequence[Callable[[], object]]:
    """Deploy a part with its new credential; gives the question with the old one."""
    _redeploy(target, spec, timeout, stage)
    endpoint = target.find(spec.name)
    stranger = replace(endpoint, token=old[0])
    if endpoint.password:
        stranger = replace(endpoint, password=old[0])
    return [functools.partial(spec.ready, stranger)] if spec.ready else []


def _redeploy(target: Target, spec: Spec, timeout: float, stage: Stages) -> None:
    """Deploy a part as it was deployed last, with the credentials that are kept now."""
    if spec.redeploy:
        spec.redeploy(target, timeout)
    elif spec.part and spec.ready:
        target.ensure(spec.part(target), ready=spec.ready, timeout=timeout, stage=stage)


def _refused(ask: Callable[[], object], stage: Stages) -> str:
    """What the server says to the old credential, once that is no; else that it was let in."""

    def refused() -> str | NotYet:
        try:
            seen = ask()
        except EndpointError as error:
            if error.kind == "unauthorized":
                said = error.state.partition(", full error")[0].partition(":")[0]
                return f"{REFUSED}: {said or error.what}"
            return NotYet(error.state or error.what)
        return seen if isinstance(seen, NotYet) else NotYet("it is still accepted")

    what = "the old credential to be refused"
    try:
        return wait_for(what, refused, timeout=PATIENCE, stage=stage, every=1.0)
    except PartTooSlow as slow:
        return f"let in: {slow.state}"


def _known(part: str) -> Spec:
    spec = ALL.get(part)
    if spec and spec.credentials:
        return spec
    raise SettingsError(
        f"{part!r} has no credential that can be rotated.",
        state="these have: " + ", ".join(one.name for one in ALL if one.credentials),
        hint="ROTATE in 08_secure_the_network takes these names, separated by commas",
    )
