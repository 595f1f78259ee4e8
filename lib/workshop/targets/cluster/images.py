"""Every image that a deployment on a cluster pulls, by part: for a mirror, and for the tests."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from workshop.targets.cluster import objects
from workshop.targets.cluster.manifests import llama_stack
from workshop.targets.cluster.network import probes

KIT = "agent-workshop-kit"
"""The workbench's image, which an administrator builds; what it is built from is in the list."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
    for path in objects.MANIFESTS.rglob("*.yaml"):
        part = path.relative_to(objects.MANIFESTS).parts[0]
        for thing in yaml.load_all(path.read_text(encoding="utf-8"), LOADER):
            found |= {Image(part, name) for name in _named(thing)}
    for path in objects.MANIFESTS.rglob("Containerfile"):
        part = path.relative_to(objects.MANIFESTS).parts[0]
        found |= {Image(part, name) for name in re.findall(r"(?m)^FROM (\S+)", path.read_text())}
    return tuple(sorted(one for one in found if f"/{KIT}:" not in one.name))


def of(part: str) -> list[str]:
    """The names of one part's images."""
    return [one.name for one in images() if one.part == part]


def _named(thing: Any) -> Iterator[str]:
    """The images that a YAML document names, a kustomization's replacements included."""
    if isinstance(thing, list):
        for one in thing:
            yield from _named(one)
    elif isinstance(thing, dict):
        if isinstance(thing.get("image"), str):
            yield thing["image"]
        if "newName" in thing:
            yield f"{thing['newName']}:{thing['newTag']}"
        for value in thing.values():
            yield from _named(value)
