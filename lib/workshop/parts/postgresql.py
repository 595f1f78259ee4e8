"""PostgreSQL with pgvector: where several replicas of Llama Stack keep what they must share."""

from __future__ import annotations

import secrets
import socket
import struct

from workshop.core.checks import Checks
from workshop.core.errors import EndpointError
from workshop.core.progress import stages
from workshop.core.wait import answered
from workshop.targets.base import Deployed, Endpoint, Part, Target
from workshop.targets.spec import Spec

PART = "postgresql"
PORT = 5432
USER = DATABASE = "llamastack"
CREDENTIAL = "postgresql password"
STORAGE = "10Gi"
"""Of its volume."""

PROTOCOL = 3 << 16
"""Version 3.0 of the protocol. Source: PostgreSQL's documentation, Message Formats."""

ASKS = {0: "lets in without a password", 3: "asks for the password in clear", 5: "asks for MD5"}
ASKS[10] = "asks for a password by SCRAM"
"""What the server wants of a user that knocks, by the number in its AuthenticationRequest."""


def deploy_postgresql(
    target: Target, *, storage_size: str = STORAGE, storage_class: str = "", timeout: float = 120.0
) -> Deployed:
    """Run the database, with a user and a generated password.

    Args:
        target: Where.
        storage_size: Of its volume.
        storage_class: Of its volume; "" takes the default class.
        timeout: Seconds until it must answer.

    Raises:
        PartFailed: It ended while it started.
        PartTooSlow: It was not ready in time.
    """
    with stages("PostgreSQL") as stage:
        part = Part(
            PART,
            PORT,
            settings={
                "user": USER,
                "database": DATABASE,
                "storage_size": storage_size,
                "storage_class": storage_class,
            },
            secrets={
                "password": target.store.secret(CREDENTIAL, lambda: secrets.token_urlsafe(24))
            },
            credential=CREDENTIAL,
        )
        return target.ensure(part, ready=ready, timeout=timeout, stage=stage)


def ready(endpoint: Endpoint) -> object:
    """Whether it answers; its pod is ready only when its user can log in."""
    return answered(lambda: asks(endpoint))


def check(checks: Checks, target: Target) -> None:
    """Add the check that nobody reads it without a password."""
    checks.equal("PostgreSQL lets nobody in like that", ASKS[10], lambda: asks(target.find(PART)))


def asks(endpoint: Endpoint, timeout: float = 10.0) -> str:
    """Knock as the kit's user, without a password; gives what the server wants.

    Raises:
        EndpointError: It does not answer, or is no PostgreSQL.
    """
    host, _, port = endpoint.url.partition("://")[2].rpartition(":")
    names = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
    try:
        with socket.create_connection((host, int(port)), timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(struct.pack("!ii", 8 + len(names), PROTOCOL) + names)
            answer = connection.recv(512)
    except OSError as error:
        raise EndpointError(
            "PostgreSQL does not answer.",
            where=endpoint.url,
            state=f"{type(error).__name__}: {error}",
            hint="workshop logs postgresql --target cluster",
        ).of_kind("refused") from error
    if len(answer) < 9 or answer[:1] != b"R":
        raise EndpointError(
            "PostgreSQL does not ask for a password.",
            where=endpoint.url,
            state=answer.decode("utf-8", "replace")[:200] or "it hung up",
            hint="workshop logs postgresql --target cluster",
        ).of_kind("protocol")
    number = struct.unpack("!i", answer[5:9])[0]
    return ASKS.get(number, f"asks for authentication {number}")


SPEC = Spec(name=PART, notebook="10_scale_out", on=("cluster",), port=PORT, ready=ready)
