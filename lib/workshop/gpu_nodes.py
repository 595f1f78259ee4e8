"""GPU nodes: machines of a cluster that can run the model."""

from __future__ import annotations

from workshop.checks import Checks
from workshop.errors import SettingsError
from workshop.progress import stages
from workshop.target import Target

PART = "gpu-nodes"


def add_gpu_nodes(target: Target) -> str:
    """Add GPU nodes where there are machines to add; gives what was done, or why nothing was.

    Raises:
        SettingsError: This target should have machines, and the kit cannot add them yet.
    """
    with stages("GPU nodes") as stage:
        reason = target.skip_reason(PART)
        if reason is None:
            raise SettingsError(
                f"The kit cannot add GPU nodes on the {target.name} target yet.",
                hint='set TARGET = "local"',
            )
        stage(f"skipped: {reason}")
        return reason


def verify_gpu_nodes(target: Target) -> Checks:
    """Prove that a node offers a GPU; where there are no machines to add, say why that is left out.

    Raises:
        CheckFailed: No node offers one.
    """
    reason = target.skip_reason(PART)
    if reason:
        return Checks.skip("GPU nodes", reason)
    return Checks("GPU nodes").raise_if_failed()
