"""A cache that speaks memcached's text protocol. Nobody uses it: it is an exercise."""

from __future__ import annotations

import secrets
import socket
from dataclasses import replace
from urllib.parse import urlsplit

from workshop.core.errors import EndpointError
from workshop.core.progress import stages
from workshop.core.wait import answered
from workshop.targets.base import Deployed, Endpoint, Part, Target
from workshop.targets.spec import Page, Spec

PART = "cache"
PORT, PAGE_PORT = 11211, 9150
USER, CREDENTIAL = "workshop", "cache password"


def deploy_cache(target: Target, *, timeout: float = 60.0) -> Deployed:
    """Run it, with a user and a generated password.

    Raises:
        PartFailed: It ended while it started.
        PartTooSlow: It was not ready in time.
    """
    with stages("Cache") as stage:
        return target.ensure(part_of(target), ready=ready, timeout=timeout, stage=stage)


def part_of(target: Target) -> Part:
    """What it must be."""
    return Part(
        PART,
        PORT,
        settings={"scheme": "memcached", "user": USER},
        secrets={"password": target.store.secret(CREDENTIAL, lambda: secrets.token_urlsafe(24))},
        extra_ports={"metrics": PAGE_PORT},
        credential=CREDENTIAL,
    )


def ready(endpoint: Endpoint) -> object:
    """Whether it tells its version to who logs in."""
    return answered(lambda: version(endpoint))


def version(endpoint: Endpoint) -> str:
    """The version that it says it has.

    Raises:
        EndpointError: It does not answer, or refuses.
    """
    place = urlsplit(endpoint.url)
    lines = ["version", "quit"]
    if endpoint.password:
        login = f"{endpoint.user} {endpoint.password.reveal()}"
        lines = [f"set login 0 0 {len(login)}", login, *lines]
    try:
        with socket.create_connection((place.hostname, endpoint.port), 5) as connection:
            connection.sendall("".join(f"{line}\r\n" for line in lines).encode())
            said = connection.makefile(encoding="utf-8").read().splitlines()
    except OSError as error:
        raise EndpointError(
            "The cache does not answer.", where=endpoint.url, state=str(error), hint="deploy it"
        ).of_kind("refused") from error
    refused = [line for line in said if line.startswith("CLIENT_ERROR")]
    if refused:
        raise EndpointError(
            "The cache refused the user or password.", where=endpoint.url, state=refused[0]
        ).of_kind("unauthorized")
    for line in said:
        if line.startswith("VERSION "):
            return line.removeprefix("VERSION ")
    raise EndpointError(
        "This is no memcached.", where=endpoint.url, state=" ".join(said)[:200]
    ).of_kind("protocol")


def refusal(endpoint: Endpoint) -> str:
    """What it says to who has no password."""
    try:
        return f"let in: {version(replace(endpoint, password=None))}"
    except EndpointError as error:
        return f"{error.kind}: {error.state}" if error.kind == "unauthorized" else error.what


SPEC = Spec(
    name=PART,
    notebook="12_deploy_cache",
    port=PORT,
    page=Page(PART, PART, PAGE_PORT, also="metrics"),
    credentials=(CREDENTIAL,),
    part=part_of,
    ready=ready,
    refusal=lambda target: refusal(target.find(PART)),
    examine=lambda target: f"memcached {version(target.find(PART))}",
)
