"""No pin, no lock file and no image tag lies in an advisory that the repository lists."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from workshop.core import versions
from workshop.core.settings import CHECKOUT
from workshop.setup.components import HERE
from workshop.targets.cluster.preflight import images

ADVISORIES = yaml.safe_load(Path(versions.__file__).with_name("advisories.yaml").read_text())
PACKAGED = {
    "vllm-openai": "pypi/vllm",
    "vllm-openai-cpu": "pypi/vllm",
    "vllm-cpu-release-repo": "pypi/vllm",
    "mongodb-mcp-server": "npm/mongodb-mcp-server",
}
"""Images whose tag is the version of a package."""


def known(package: str, version: str) -> list[str]:
    """The advisories that a version lies in."""
    found = re.search(r"\d+(\.\d+)*", version)
    assert found, f"{package} has no version: {version}"
    return [
        one["id"]
        for one in ADVISORIES
        if one["package"] == package and Version(found[0]) in SpecifierSet(one["affected"])
    ]


def packed(image: str) -> tuple[str, str]:
    """What an image is, as ``known`` takes it."""
    name, _, tag = image.rpartition(":")
    last = name.rpartition("/")[2]
    return PACKAGED.get(last, f"image/{last}"), tag


def pinned() -> Iterator[tuple[str, str]]:
    for one in tomllib.loads((CHECKOUT / "uv.lock").read_text())["package"]:
        if "version" in one:
            yield f"pypi/{one['name']}", one["version"]
    locks = [*(HERE / "environments").glob("*.txt"), *CHECKOUT.glob("tests/testcluster/**/*.txt")]
    for lock in locks:
        for name, version in re.findall(r"(?m)^([a-z0-9._-]+)==([^ ;]+)", lock.read_text()):
            yield f"pypi/{name}", version
    lock = json.loads((HERE / "mcp-server" / "package-lock.json").read_text())
    for where, one in lock["packages"].items():
        if where:
            yield f"npm/{where.rpartition('node_modules/')[2]}", one["version"]
    for image in images():
        yield packed(image.name)


def test_no_pin_lies_in_an_advisory() -> None:
    everything = set(pinned())
    assert {index for index, _ in (one[0].split("/", 1) for one in everything)} == {
        *("pypi", "npm", "image")
    }
    found = {f"{package} {version}": known(package, version) for package, version in everything}
    assert {what: ids for what, ids in found.items() if ids} == {}


def test_an_advisory_says_what_is_affected_and_where_that_was_read() -> None:
    assert len({one["id"] for one in ADVISORIES}) == len(ADVISORIES)
    for one in ADVISORIES:
        assert set(one) == {"id", "what", "package", "affected", "fixed", "source", "read"}, one
        assert one["source"].startswith("https://"), one["id"]
        assert Version(str(one["fixed"])) not in SpecifierSet(one["affected"]), one["id"]


def test_every_advisory_is_against_something_that_is_pinned() -> None:
    """A name that nothing has would never find anything."""
    packages = {package for package, _ in pinned()}
    assert {one["package"] for one in ADVISORIES} - packages == set()


@pytest.mark.parametrize(
    ("image", "advisory"),
    [
        ("docker.io/vllm/vllm-openai:v0.21.0", "CVE-2026-48746"),
        ("docker.io/vllm/vllm-openai:v0.21.0", "CVE-2026-54232"),
        ("public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v0.21.0", "CVE-2026-48746"),
        ("docker.io/pgvector/pgvector:0.8.1-pg17", "CVE-2026-3172"),
        ("docker.io/library/mongo:8.0.26", "CVE-2026-82058"),
        ("quay.io/prometheus/prometheus:v2.53.5", "prometheus-2.53-support"),
    ],
)
def test_an_image_of_an_earlier_release_would_be_noticed(image: str, advisory: str) -> None:
    assert advisory in known(*packed(image))


@pytest.mark.parametrize(
    ("package", "version", "advisory"),
    [
        ("pypi/starlette", "1.0.0", "CVE-2026-48710"),
        ("pypi/pypdf", "6.21.2", "CVE-2026-119208"),
        ("npm/tar-fs", "2.1.3", "CVE-2025-59343"),
    ],
)
def test_a_locked_package_would_be_noticed(package: str, version: str, advisory: str) -> None:
    assert advisory in known(package, version)
