"""Notebook 08: the network is closed but for what is declared, and every way is tried."""

from __future__ import annotations

import functools

from workshop.core.checks import Check, Checks
from workshop.core.errors import StepMissing
from workshop.core.progress import stages
from workshop.operate.secure import routes
from workshop.operate.secure.credentials import REFUSED, Rotation
from workshop.parts import choices, llama_stack
from workshop.parts.catalog import ALL
from workshop.targets import network
from workshop.targets.base import Endpoint, Target, is_yours


def declared_network(target: Target) -> network.Matrix:
    """Show who may talk to whom, as it is declared; nothing is tried yet."""
    return target.network.declared()


def secure_network(target: Target) -> list[str]:
    """Refuse every connection that is not declared; returns the names of the policies.

    Raises:
        StepMissing: No part was deployed.
    """
    uri = choices.of(target, llama_stack.PART).get("milvus_uri")
    with stages("Network") as stage:
        return target.network.isolate({"milvus": Endpoint(uri)} if uri else {}, stage=stage)


def probe_network(target: Target) -> network.Matrix:
    """Try every connection between the parts for real, and remove the probes again.

    Raises:
        PartFailed: A probe could not run.
        PartTooSlow: A probe was not up in time.
    """
    with stages("Network") as stage:
        return target.network.tried(stage=stage)


def verify_network(
    target: Target, tried: network.Matrix, rotation: Rotation | None = None
) -> Checks:
    """Prove that every connection is as declared, that no part is open, and that TLS is right.

    Args:
        target: Where.
        tried: What ``probe_network`` saw.
        rotation: What ``rotate_credentials`` did.

    Raises:
        CheckFailed: One of these is not so.
    """
    checks = Checks("Network")
    for one in tried:
        expected = "open" if one.allowed else "refused"
        seen = one.seen if one.agrees or one.allowed else "open, and is not declared"
        checks.add(Check(one.name, one.agrees, expected, seen, 0.0))
    for spec in ALL:
        if (spec.refusal or spec.secured) and _is_kits(target, spec.name):
            if spec.refusal:
                checks.that(
                    f"{spec.name} refuses who has no credential",
                    "refused",
                    functools.partial(spec.refusal, target),
                    lambda seen: seen.startswith(("unauthorized", "refused")),
                )
            if spec.secured:
                spec.secured(target, checks)
    routes.check(target.network.routes(), checks)
    for row in rotation.rows if rotation else []:
        if not row.skipped:
            right = row.old.startswith(REFUSED)
            name = f"{row.part} refuses its old credential"
            checks.add(Check(name, right, REFUSED, row.old, row.seconds))
    return checks.raise_if_failed()


def _is_kits(target: Target, name: str) -> bool:
    """Whether it runs, and is not an endpoint of the user's own."""
    if is_yours(target, name):
        return False
    try:
        target.find(name)
    except StepMissing:
        return False
    return True
