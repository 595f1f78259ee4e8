"""What holds for every test."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from workshop.core import progress
from xdist.scheduler import LoadScopeScheduling

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would each program
# that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def shown() -> Iterator[None]:
    """A command that a test runs in this process may silence progress for as long as it lives."""
    yield
    progress.use(None)


MODEL = re.compile(r"^tests/(notebooks/test_sequence|cluster/test_(sequence|kserve))")
"""The files that run a chat model for minutes: never two of them at once."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest group comes first."""
    items.sort(key=lambda item: not MODEL.match(item.nodeid))


class Groups(LoadScopeScheduling):
    """Which tests stay together, and in order, where they run side by side.

    Those of a file do. Those that run a model are one group, and those of the test cluster that do
    not, which mostly wait, another: each of the two has a node of its own. Not by the mark
    ``xdist_group``: pytest-xdist 3.8.0 hangs it on an attribute that pytest 9.2.0 does not have
    any more, and then groups nothing (findings/xdist_groups_nothing.sh).
    """

    def _split_scope(self, nodeid: str) -> str:
        if MODEL.match(nodeid):
            return "model"
        return "cluster" if nodeid.startswith("tests/cluster/") else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)
