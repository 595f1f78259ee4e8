"""What the tests of set-up share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from registry import Registry, running


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A package index and a model hub on loopback."""
    with running() as one:
        yield one
