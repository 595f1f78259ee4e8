"""Makes the import of papermill and nbconvert cheap."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

GRAMMAR = "rfc3987_syntax"
"""The schema library loads it to check internationalised addresses, which no notebook's schema
does: its grammar costs 1 to 2 seconds at import. The library works without it (it is an extra)."""


@contextmanager
def quick() -> Iterator[None]:
    """Import without that grammar, and without the deprecation warnings of the tools themselves."""
    blocked = GRAMMAR not in sys.modules
    if blocked:
        sys.modules[GRAMMAR] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        if blocked:
            del sys.modules[GRAMMAR]
