"""What was chosen for a part when it was deployed last, by the names of its verb's parameters."""

from __future__ import annotations

import json
from typing import Any

from workshop.targets.base import Target


def keep(target: Target, part: str, **chosen: str) -> None:
    """Keep the choices of a deploy verb."""
    target.store.remember(f"choices of {part}", json.dumps(chosen))


def of(target: Target, part: str) -> dict[str, Any]:
    """The choices of the last deployment; empty when there was none."""
    kept = target.store.recall(f"choices of {part}")
    return dict(json.loads(kept)) if kept else {}
