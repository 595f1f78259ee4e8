"""Every image that a deployment on a cluster pulls, by part: for a mirror, and for the tests."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from workshop.targets.cluster import objects
from workshop.targets.cluster.manifests import llama_stack
from workshop.targets.cluster.network import probes

KIT = "agent-workshop-kit"
"""The workbench's image, which an administrator builds; what it is built from is in the list."""

NAMED = r"(?m)^[ -]*image: (\S+)$|^FROM (\S+)|newName: (\S+)\n +newTag: (\S+)"
"""How manifests, Containerfiles and a kustomization's replacements name an image."""


@dataclass(frozen=True, order=True)
class Image:
    """One image: which part pulls it, and its whole name with the tag."""

    part: str
    name: str


@functools.cache
def images() -> tuple[Image, ...]:
    """All of them, by part and name. What an operator brings by itself is not among them."""
    found = {Image(llama_stack.NAME, name) for name in llama_stack.IMAGES.values()}
    found.add(Image("network", probes.IMAGE))
    for pattern in ("*.yaml", "Containerfile"):
        for path in objects.MANIFESTS.rglob(pattern):
            part = path.relative_to(objects.MANIFESTS).parts[0]
            for parts in re.findall(NAMED, path.read_text(encoding="utf-8")):
                found.add(Image(part, ":".join(filter(None, parts))))
    return tuple(sorted(one for one in found if f"/{KIT}:" not in one.name))
