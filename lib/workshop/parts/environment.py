"""Notebook 00: what the place where parts run must offer."""

from __future__ import annotations

from workshop.core.checks import Checks
from workshop.targets.base import Target


def check_environment(target: Target) -> Checks:
    """Test everything that the notebooks need, and list all that is missing at once.

    Raises:
        CheckFailed: Something is missing; each line says how to fix it.
    """
    checks = Checks(f"Environment ({target.name})")
    for check in target.environment():
        checks.add(check)
    return checks.raise_if_failed()
