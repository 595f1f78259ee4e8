"""``workshop images`` names what a cluster really pulls: all of it, and nothing else."""

from __future__ import annotations

from collections import defaultdict

import pytest
from test_policies import FOLDERS, seen_in
from workshop.cli import main
from workshop.targets.cluster.api import MANAGER
from workshop.targets.cluster.manifests.llama_stack import IMAGES
from workshop.targets.cluster.network import probes
from workshop.targets.cluster.preflight import images


def test_it_lists_what_the_built_manifests_pull() -> None:
    pulled = {
        (folder.parts[0], one["image"])
        for folder in FOLDERS
        for seen in seen_in(folder)
        for one in seen.containers()
        if f"/{MANAGER}:" not in one["image"]
    }
    listed = {(one.part, one.name) for one in images()}
    # The MCP server that writes is built from the manifests of the one that reads.
    of_both = {("mcp-writer", name) for part, name in listed if part == "mcp-server"}
    assert pulled - listed == of_both
    made = {("network", probes.IMAGE), *(("llama-stack", name) for name in IMAGES.values())}
    base = {one for one in listed if one[0] == "workbench"}
    assert len(base) == 1
    assert listed - pulled <= made | base


def test_each_is_a_whole_name_with_a_tag_and_of_one_version() -> None:
    tags = defaultdict(set)
    for one in images():
        name, _, tag = one.name.rpartition(":")
        assert name.count("/") >= 2, "a mirror needs the registry"
        tags[name].add(tag)
    several = {name: found for name, found in tags.items() if len(found) > 1}
    # Llama Stack and OGX are releases of one image.
    assert list(several) == ["docker.io/ogxai/distribution-starter"]


def test_the_command_prints_one_a_line_with_its_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["images"]) == 0
    printed, said = capsys.readouterr()
    assert [tuple(line.split()) for line in printed.splitlines()] == [
        (one.part, one.name) for one in images()
    ]
    assert "operators" in said
