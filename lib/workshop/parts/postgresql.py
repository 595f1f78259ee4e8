"""PostgreSQL with pgvector: where several replicas of Llama Stack keep what they must share."""

import secrets
import socket
import struct

from workshop.core.checks import Checks
from workshop.core.errors import EndpointError
from workshop.core.progress import stages
from workshop.core.wait import answered
from workshop.targets.base import Deployed, Endpoint, Part, Target
from workshop.targets.spec import Spec

PART, PORT = "postgresql", 5432
USER = DATABASE = "llamastack"
CREDENTIAL = "postgresql password"

PROTOCOL = 3 << 16  # Version 3.0. Source: PostgreSQL's documentation, Message Formats.
SCRAM = "asks for a password by SCRAM"
ASKS = {0: "lets in without a password", 3: "asks for a clear-text password", 5: "asks for MD5"}
ASKS[10] = SCRAM
"""What the server asks of a user that connects, by the number in its AuthenticationRequest."""


def deploy_postgresql(target: Target, *, timeout: float = 120.0) -> Deployed:
    """Run the database, with a user and a generated password; ``timeout`` in seconds."""
    word = target.store.secret(CREDENTIAL, lambda: secrets.token_urlsafe(24))
    settings = {"user": USER, "database": DATABASE, "storage_size": "10Gi", "storage_class": ""}
    part = Part(PART, PORT, settings=settings, secrets={"password": word}, credential=CREDENTIAL)
    with stages("PostgreSQL") as stage:
        return target.ensure(part, ready=ready, timeout=timeout, stage=stage)


def ready(endpoint: Endpoint) -> object:
    """Whether it answers; its pod is ready only when its user can log in."""
    return answered(lambda: asks(endpoint))


def check(checks: Checks, target: Target) -> None:
    """Add the check that nobody reads it without a password."""
    name = "PostgreSQL lets nobody in without a password"
    checks.equal(name, SCRAM, lambda: asks(target.find(PART)))


def asks(endpoint: Endpoint) -> str:
    """Knock as the kit's user, without a password; gives what the server wants."""
    host, _, port = endpoint.url.partition("://")[2].rpartition(":")
    names = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()

    def failed(kind: str, what: str, state: str) -> EndpointError:
        hint = "workshop logs postgresql --target cluster"
        return EndpointError(what, where=endpoint.url, state=state, hint=hint).of_kind(kind)

    try:
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(struct.pack("!ii", 8 + len(names), PROTOCOL) + names)
            answer = connection.recv(512)
    except OSError as error:
        state = f"{type(error).__name__}: {error}"
        raise failed("refused", "PostgreSQL does not answer.", state) from error
    if len(answer) < 9 or answer[:1] != b"R":
        state = answer.decode("utf-8", "replace")[:200] or "it closed the connection"
        raise failed("protocol", "PostgreSQL does not ask for a password.", state)
    number = struct.unpack("!i", answer[5:9])[0]
    return ASKS.get(number, f"asks for authentication {number}")


SPEC = Spec(name=PART, notebook="10_scale_out", on=("cluster",), port=PORT, ready=ready)
