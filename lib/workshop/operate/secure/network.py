"""Notebook 08: the network is closed but for what is declared, and every way is tried."""

from __future__ import annotations

from collections.abc import Callable

from workshop.clients import openai
from workshop.core.checks import Check, Checks
from workshop.core.errors import StepMissing
from workshop.core.progress import stages
from workshop.operate.secure import routes
from workshop.operate.secure.credentials import REFUSED, Rotation
from workshop.parts import catalog, embedder, llama_stack, mcp_server, model, mongodb
from workshop.targets import network
from workshop.targets.base import Endpoint, Target, is_yours

_REFUSALS: dict[str, Callable[[Target], str]] = {
    model.PART: lambda target: openai.refusal(target.find(model.PART), model.model_name(target)),
    mongodb.PART: lambda target: mongodb.refusal(mongodb.find(target)),
    mcp_server.PART: lambda target: mcp_server.refusal(target.find(mcp_server.PART), None),
}


def declared_network(target: Target) -> network.Matrix:
    """Show who may talk to whom, as it is declared; nothing is tried yet."""
    return target.declared()


def secure_network(target: Target) -> list[str]:
    """Refuse every connection that is not declared; returns the names of the policies.

    Raises:
        StepMissing: No part was deployed.
    """
    uri = catalog.choices_of(target, llama_stack.PART).get("milvus_uri")
    with stages("Network") as stage:
        return target.isolate({"milvus": Endpoint(uri)} if uri else {}, stage=stage)


def probe_network(target: Target) -> network.Matrix:
    """Try every connection between the parts for real, and remove the probes again.

    Raises:
        PartFailed: A probe could not run.
        PartTooSlow: A probe was not up in time.
    """
    with stages("Network") as stage:
        return target.tried(stage=stage)


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
    for name, refusal in _REFUSALS.items():
        if _is_kits(target, name):
            checks.that(
                f"{name} refuses who has no credential",
                "refused",
                lambda ask=refusal: ask(target),  # type: ignore[misc]
                lambda seen: seen.startswith(("unauthorized", "refused")),
            )
    for name in (model.PART, embedder.NAME):
        if _is_kits(target, name):
            model.check_paths(target.find(name), name, checks)
    routes.check(target.fronts(), checks)
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
