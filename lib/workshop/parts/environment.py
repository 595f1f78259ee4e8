"""Notebook 00: what the place where parts run must offer."""

from __future__ import annotations

from workshop.core.checks import Checks
from workshop.targets.base import Target


def check_environment(target: Target) -> Checks:
    """Test everything that the sequence needs, and list all lacks at once.

    Raises:
        CheckFailed: Something is missing; each line says what mends it.
    """
    checks = Checks(f"Environment ({target.name})")
    for check in target.environment():
        checks.add(check)
    return checks.raise_if_failed()
