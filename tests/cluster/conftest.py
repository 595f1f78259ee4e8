"""A real Kubernetes node for all tests of this folder; they are skipped where there can be none."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from testcluster import cyclonus, mounts, openshift
from testcluster.node import FOLDER, Node
from testcluster.place import Place
from testcluster.programs import Missing

REQUIRED = "TEST_CLUSTER_REQUIRED"
"""The variable that makes a failure of what would be skipped."""


CAN_RUN = sys.platform == "linux" and os.getuid() == 0


def _say(text: str) -> None:
    print(f"  {text}", file=sys.__stderr__, flush=True)


@pytest.fixture(scope="session")
def say() -> Callable[[str], None]:
    """Progress, seen at once: the first build takes a quarter of an hour."""
    return _say


@functools.cache
def _build() -> None:
    with contextlib.suppress(Missing):  # The fixture says what is missing.
        Node(FOLDER).place(_say)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Build what a node is made of before a test's time begins: on a new machine it takes long."""
    if CAN_RUN and "node" in getattr(item, "fixturenames", ()):
        _build()
    return (yield)


def cannot(reason: str) -> NoReturn:
    """Skip, and say why; where the cluster is required, as in CI, that is a failure."""
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def node(say: Callable[[str], None]) -> Iterator[Node]:
    """The running node; after the tests, nothing is left of it."""
    if not CAN_RUN:
        cannot("a node needs Linux, and root")
    node = Node(FOLDER)
    before = os.environ.get("KUBECONFIG")
    try:
        node.up(say)
        # What the kit connects to, here and in the programs that the tests start.
        os.environ["KUBECONFIG"] = str(node.kubeconfig)
        yield node
    except Missing as missing:
        cannot(str(missing))
    finally:
        if before is None:
            os.environ.pop("KUBECONFIG", None)
        else:
            os.environ["KUBECONFIG"] = before
        node.down(say)
        assert mounts.left(FOLDER) == []


@pytest.fixture(scope="session")
def place(node: Node, say: Callable[[str], None]) -> Place:
    """Where the node lives; to give it images."""
    return node.place(say)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the reports of runs, in place of the checkout's."""
    folder = tmp_path_factory.mktemp("home")
    before = os.environ.get("WORKSHOP_HOME")
    os.environ["WORKSHOP_HOME"] = str(folder)
    yield folder
    if before is None:
        del os.environ["WORKSHOP_HOME"]
    else:
        os.environ["WORKSHOP_HOME"] = before


@pytest.fixture(scope="session")
def analyst(say: Callable[[str], None]) -> Path:
    """Cyclonus, which analyses policies; built the first time."""
    try:
        return cyclonus.build(say)
    except Missing as missing:
        cannot(str(missing))


@pytest.fixture(scope="module")
def openshift_node(
    request: pytest.FixtureRequest, node: Node, place: Place, say: Callable[[str], None]
) -> Node:
    """The node as an OpenShift, with the generation of Llama Stack's operator that the module has.

    It is booted anew when the generation changes. Tests that use it come last, so that all others
    find a plain node.
    """
    wanted = _generation(request.node)
    if request.config.stash.get(BOOTED, "") != wanted:
        node.up(say)
        openshift.up(node, place, say, generation=wanted)
        request.config.stash[BOOTED] = wanted
    return node


BOOTED = pytest.StashKey[str]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Plain tests first, then those of each generation together."""

    def order(item: pytest.Item) -> str:
        uses = "openshift_node" in getattr(item, "fixturenames", ())
        return _generation(item) if uses else ""

    items.sort(key=order)


def _generation(item: pytest.Item) -> openshift.Generation:
    """A module that wants the older operator sets ``GENERATION = "llamastack"``."""
    module = item.getparent(pytest.Module)
    return getattr(module and module.obj, "GENERATION", "ogx")
