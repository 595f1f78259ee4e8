"""A token that the cluster makes for a ServiceAccount, and how it makes another."""

from __future__ import annotations

from workshop.cluster import objects
from workshop.cluster.api import Api
from workshop.cluster.memory import Memory, before
from workshop.cluster.reach import Reach
from workshop.masked import Secret
from workshop.wait import NotYet, wait_for

MADE = 30.0
"""Seconds for the cluster to make a token."""


def renew(
    api: Api, memory: Memory, reach: Reach, part: str, where: tuple[str, str], credential: str
) -> Secret:
    """Have the token in this Secret made anew; gives the old one, kept until it is retired.

    The cluster believes a token for as long as its Secret is there: one that is deleted and made
    again holds another.

    Args:
        api: The cluster.
        memory: Keeps the old one.
        reach: Is told to read the new one.
        part: Whose manifests have the Secret.
        where: The Secret's name and key.
        credential: The name under which the old one is kept.

    Raises:
        PartFailed: There is no token to begin with.
        PartTooSlow: The cluster made no other.
    """
    name, key = where
    old = memory.kept(before(credential))
    if old is None:
        old = reach.token(where)
        memory.given(before(credential), old)
    reach.forget_token(where)
    empty = objects.one(objects.build(objects.MANIFESTS / part / "base"), "Secret", name)
    if api.get("v1", "Secret", name) is not None and reach.token(where) == old:
        api.delete(empty)
    api.apply(empty)

    def made() -> object:
        data = (api.get("v1", "Secret", name) or {}).get("data") or {}
        return bool(data.get(key)) or NotYet(f"the Secret {name} has no {key} yet")

    wait_for("the cluster to make a token", made, timeout=MADE, every=0.2, where=api.where)
    reach.forget_token(where)
    return old
