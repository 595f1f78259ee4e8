"""Whether anything was written into the database while the agent was asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any


def fingerprint(database: Any) -> dict[str, str]:
    """A digest of each collection's documents: equal before and after when nothing was written."""
    from bson import json_util

    found = {}
    for name in sorted(database.list_collection_names()):
        documents = sorted(json_util.dumps(each, sort_keys=True) for each in database[name].find())
        found[name] = hashlib.sha256("\n".join(documents).encode()).hexdigest()
    return found


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The collections that differ, are new, or are gone."""
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
