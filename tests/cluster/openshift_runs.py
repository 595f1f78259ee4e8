"""The sequence on the OpenShift profile: what both generations of the operator have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runs import Run, run_all
from testcluster import software
from testcluster.node import Node
from testcluster.openshift import names
from testcluster.place import Place

IMAGES = {"llama-stack": names.LLAMA_STACK_IMAGE, "ogx": names.OGX_IMAGE}


@contextmanager
def sequence(node: Node, place: Place, namespace: str, home: Path, server: str) -> Iterator[Run]:
    """Run the notebooks 00 to 07, with the real software under Red Hat's names for it."""
    software.add_mcp_server(place)
    software.add_mongodb(place)
    software.add_vllm(place)
    software.add_llama_stack(place, IMAGES[server], server=server)
    with run_all(node, namespace, home) as run:
        yield run
