"""What holds for every test."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would each program
# that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file, the local sequence's, comes first."""
    items.sort(key=lambda item: item.path.name != "test_sequence.py")


class Groups(LoadScopeScheduling):
    """Which tests stay together, and in order, where they run side by side.

    Those of a file do. On the test cluster there are two groups, each with a node of its own: the
    files that run a model, so that two of them are never up at once, and all others, which mostly
    wait. Not by the mark ``xdist_group``: pytest-xdist 3.8.0 hangs it on an attribute that pytest
    9.2.0 does not have any more, and then groups nothing (findings/xdist_groups_nothing.sh).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if not file.startswith("tests/cluster/"):
            return file
        return "model" if re.search(r"/test_(sequence|kserve)", file) else "others"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)
