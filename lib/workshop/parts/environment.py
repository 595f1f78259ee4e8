"""Notebooks 00 and 99: what the place must offer, and that nothing of the kit is left there."""

from __future__ import annotations

from workshop.core.checks import Checks
from workshop.core.progress import stages
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


def clean_up(target: Target, *, delete_data: bool = False) -> list[str]:
    """Stop all parts and remove what they left; with ``delete_data`` their data too."""
    with stages("Clean-up") as stage:
        removed = target.clean_up(data=delete_data, stage=stage)
        for name in removed:
            stage(f"removed {name}")
        return removed


def verify_clean_up(target: Target) -> Checks:
    """Prove that nothing of the kit is left.

    Raises:
        CheckFailed: Something is; names it.
    """
    checks = Checks("Clean-up")
    name, hint = "nothing of the kit is left", "workshop status; workshop stop"
    checks.equal(name, "nothing", lambda: ", ".join(target.leftovers()) or "nothing", hint=hint)
    return checks.raise_if_failed()
