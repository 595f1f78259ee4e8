"""Notebook 99: remove what the kit made, and nothing else."""

from __future__ import annotations

from workshop.core.checks import Checks
from workshop.core.progress import stages
from workshop.targets.base import Target


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
    checks.that(
        "nothing of the kit is left",
        "nothing",
        target.leftovers,
        lambda seen: not seen,
        show=lambda seen: ", ".join(seen) or "nothing",
        hint="workshop status; workshop stop",
    )
    return checks.raise_if_failed()
