"""Credentials made anew: the server gets the new one, then its callers, and the old one is refused.

Until the old one is refused both are kept, so that a rotation that was interrupted is finished by
the next one, and never begun a second time.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from workshop.agent import questions
from workshop.agent.agent import create_agent
from workshop.agent.answer import Answer, NotAsked
from workshop.clients import http, mcp
from workshop.core.errors import EndpointError, PartTooSlow, SettingsError, StepMissing
from workshop.core.progress import Stages, stages
from workshop.core.secret import Secret
from workshop.core.table import Table
from workshop.core.wait import NotYet, wait_for
from workshop.parts import catalog, llama_stack, mcp_server, model, mongodb
from workshop.targets.base import Endpoint, Target, is_yours

REFUSED = "refused"
CREDENTIALS = {
    model.PART: (model.CREDENTIAL,),
    mongodb.PART: (mongodb.CREDENTIAL, mongodb.READER_CREDENTIAL),
    mcp_server.PART: (mcp_server.CREDENTIAL,),
}
"""What is made anew with each part."""

PATIENCE = 180.0
"""Seconds until the old credential must be refused: OpenShift AI's proxy believes a token that it
has asked about for two minutes."""


@dataclass(frozen=True)
class Rotated:
    """A credential that was made anew, or why it was not.

    Args:
        part: The server's name.
        callers: The parts that send it, which got the new one too.
        old: What the server said to the old one, such as ``refused: HTTP 401``; "" if it was not
            rotated.
        seconds: The time that it took.
        skipped: Why it was not, or "".
    """

    part: str
    callers: str
    old: str
    seconds: float
    skipped: str = ""


@dataclass(frozen=True)
class Rotation:
    """Rotated credentials, and what the agent answered before and after."""

    rows: Table[Rotated]
    before: Answer | NotAsked
    after: Answer | NotAsked

    def __repr__(self) -> str:
        return f"{self.rows!r}\nbefore: {self.before.question} {_text(self.before)}" + (
            f"\nafter:  {self.after.question} {_text(self.after)}"
        )


def rotate_credentials(
    target: Target, parts: str, *, use_mongodb: bool = True, timeout: float = 300.0
) -> Rotation:
    """Rotate the credentials of these parts one by one, and ask the agent before and after.

    Args:
        target: Where.
        parts: Names, divided by commas: ``model``, ``mongodb``, ``mcp-server``.
        use_mongodb: False: the agent is asked about the runbooks.
        timeout: Seconds for each part to be ready again.

    Raises:
        SettingsError: There is no such part.
        AnswerNotGrounded: The agent does not answer as it should.
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
    rows: Table[Rotated] = Table()
    for name in names:
        rows.append(rotate_credential(target, name, timeout=timeout))
    # A new one: the first holds the old secret.
    after = create_agent(target, use_mongodb=use_mongodb).ask(question)
    return Rotation(rows, before, after)


def rotate_credential(target: Target, part: str, *, timeout: float = 300.0) -> Rotated:
    """Make the credential of a part anew: of ``model``, ``mongodb`` or ``mcp-server``.

    Run again after an interruption, it finishes what was begun.

    Args:
        target: Where.
        part: The server's name.
        timeout: Seconds for each part to be ready again.

    Raises:
        SettingsError: There is no such part.
        PartFailed: A part ended with its new credential.
        PartTooSlow: A part was not ready in time.
    """
    rotate = _known(part)
    with stages(f"Rotation of {part}") as stage:
        if is_yours(target, part):
            return Rotated(part, "", "", 0.0, "it is yours: change its credential there")
        if part == mongodb.PART and target.recall(mongodb.MOVED):
            moved = "its documents are in the replica set, whose credentials this does not change"
            return Rotated(part, "", "", 0.0, moved)
        try:
            target.find(part)
        except StepMissing as missing:
            if not target.recall(_fact(part)):
                return Rotated(part, "", "", 0.0, missing.what)
        target.remember(_fact(part), "begun")
        old, callers = rotate(target, timeout, stage)
        if old.startswith(REFUSED):
            for credential in CREDENTIALS[part]:
                target.retire(credential)
            target.remember(_fact(part), None)
        stage(f"the old credential: {old}")
        return Rotated(part, callers, old, round(stage.seconds, 1))


def _mcp_server(target: Target, timeout: float, stage: Stages) -> tuple[str, str]:
    (old,) = _renewed(target, mcp_server.PART, stage)
    deployed = mcp_server.deploy_mcp_server(target, timeout=timeout)
    # Llama Stack gets it from the agent, with each request.
    stranger = replace(deployed.endpoint, token=old)
    return _refused(lambda: mcp.initialize(stranger, mcp_server.PATH), stage), "the agent"


def _mongodb(target: Target, timeout: float, stage: Stages) -> tuple[str, str]:
    old, old_reader = _renewed(target, mongodb.PART, stage)
    new = target.secret(mongodb.CREDENTIAL, _new)
    # Before it starts again: a database keeps passwords with its data, whatever it is started
    # with. One that does not run is told when it does.
    with suppress(StepMissing):
        mongodb.change_password(target.find(mongodb.PART), old, new)
        stage("the database has its new password")
    part, ready = mongodb.deployed_part(target), functools.partial(mongodb.ready, before=old)
    endpoint = target.ensure(part, ready=ready, timeout=timeout, stage=stage).endpoint
    mcp_server.deploy_mcp_server(target, timeout=timeout)
    strangers = [
        replace(endpoint, password=old),
        replace(endpoint, user=mongodb.READER, password=old_reader),
    ]
    said = [_refused(lambda one=one: _log_in(one), stage) for one in strangers]  # type: ignore[misc]
    worst = next((one for one in said if not one.startswith(REFUSED)), said[0])
    return worst, mcp_server.PART


def _model(target: Target, timeout: float, stage: Stages) -> tuple[str, str]:
    (old,) = _renewed(target, model.PART, stage)
    part = model.deployed_part(target)
    deployed = target.ensure(part, ready=model.ready, timeout=timeout, stage=stage)
    # The whole notebook: a server that starts again may have to be given the runbooks again.
    kept = catalog.choices_of(target, llama_stack.PART)
    llama_stack.deploy_llama_stack(target, timeout=timeout, **kept)
    stranger = replace(deployed.endpoint, token=old)
    said = _refused(lambda: http.call(stranger, "/v1/models", timeout=10), stage)
    return said, llama_stack.PART


_ROTATE: dict[str, Callable[[Target, float, Stages], tuple[str, str]]] = {
    model.PART: _model,
    mongodb.PART: _mongodb,
    mcp_server.PART: _mcp_server,
}


def _renewed(target: Target, part: str, stage: Stages) -> list[Secret]:
    """The old credentials of a part, with new ones in their place."""
    old = [target.renew(part, credential, _new) for credential in CREDENTIALS[part]]
    stage("made: a new " + " and a new ".join(CREDENTIALS[part]))
    return old


def _new() -> str:
    return secrets.token_urlsafe(32)


def _refused(ask: Callable[[], object], stage: Stages) -> str:
    """What the server says to the old credential, once that is no; else that it was let in."""

    def refused() -> str | NotYet:
        try:
            ask()
        except EndpointError as error:
            if error.kind == "unauthorized":
                said = error.state.partition(", full error")[0].partition(":")[0]
                return f"{REFUSED}: {said or error.what}"
            return NotYet(error.state or error.what)
        return NotYet("it is still taken")

    try:
        return wait_for(
            "the old credential to be refused", refused, timeout=PATIENCE, stage=stage, every=1.0
        )
    except PartTooSlow as slow:
        return f"let in: {slow.state}"


def _log_in(endpoint: Endpoint) -> None:
    with mongodb.connected(endpoint) as database:
        database.list_collection_names()


def _known(part: str) -> Callable[[Target, float, Stages], tuple[str, str]]:
    if part in _ROTATE:
        return _ROTATE[part]
    raise SettingsError(
        f"{part!r} has no credential that can be rotated.",
        state="these have: " + ", ".join(_ROTATE),
        hint="ROTATE in 08_secure_the_network takes these names, divided by commas",
    )


def _fact(part: str) -> str:
    return f"rotating {part}"


def _text(answer: Answer | NotAsked) -> str:
    return answer.text if isinstance(answer, Answer) else repr(answer)
