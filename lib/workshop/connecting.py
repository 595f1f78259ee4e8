"""The place where parts run: how a notebook connects to it, what it offers, what is left there."""

from __future__ import annotations

import difflib

from workshop.core.checks import Checks
from workshop.core.errors import SettingsError
from workshop.core.progress import stages
from workshop.core.settings import (
    CHECKOUT,
    TARGETS,
    Settings,
    make_paths_absolute,
    refuse_another_checkout,
)
from workshop.parts.catalog import ALL
from workshop.targets.base import Target


def connect(name: str = "local") -> Target:
    """Connect to the place where parts run: this machine, or a namespace of a cluster.

    Args:
        name: ``local``: processes on this machine's loopback; ``cluster``: a namespace of the
            cluster that the kubeconfig or the surrounding pod names.

    Raises:
        SettingsError: There is no such target, the environment cannot be used, or this library is
            another checkout's.
    """
    if name not in TARGETS:
        close = difflib.get_close_matches(str(name), TARGETS, 1)
        raise SettingsError(
            f"There is no target {name!r}.",
            where="the parameter TARGET",
            state="targets: " + ", ".join(TARGETS),
            hint=f'set TARGET = "{close[0] if close else TARGETS[0]}"',
        )
    refuse_another_checkout()
    # In a kernel of JupyterLab; what the command line starts has absolute paths already.
    make_paths_absolute(CHECKOUT)
    settings = Settings.from_env()
    if name == "cluster":
        from workshop.targets.cluster.login import connect as log_in
        from workshop.targets.cluster.target import ClusterTarget

        return ClusterTarget(log_in(), ALL)
    from workshop.targets.local.target import LocalTarget

    return LocalTarget(settings, ALL)


def check_environment(target: Target) -> Checks:
    """Test everything that the notebooks need, and list all that is missing at once.

    Raises ``CheckFailed``, in which each line says how to fix it.
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

    Raises ``CheckFailed``, which names what is.
    """
    checks = Checks("Clean-up")
    name, hint = "nothing of the kit is left", "workshop status; workshop stop"
    checks.equal(name, "nothing", lambda: ", ".join(target.leftovers()) or "nothing", hint=hint)
    return checks.raise_if_failed()
