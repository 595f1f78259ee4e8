"""What holds for every test."""

from __future__ import annotations

import signal

import pytest

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would each program
# that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side, the tests of a file stay together; the longest file, the sequence's, is first.

    Only that one runs a model: two model servers at once stall each other.
    """
    items.sort(key=lambda item: item.path.name != "test_sequence.py")
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.name))
