"""The place where parts run: how a notebook connects to it, what it offers, what is left there."""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from workshop.core import progress
from workshop.core.checks import Checks
from workshop.core.errors import SettingsError, WorkshopError
from workshop.core.progress import stages
from workshop.core.settings import (
    AUTO,
    CHECKOUT,
    NOTEBOOK,
    TARGETS,
    Settings,
    default_target,
    make_paths_absolute,
    refuse_another_checkout,
)
from workshop.core.table import counted
from workshop.parts.catalog import ALL
from workshop.targets.base import Target


def connect(name: str = AUTO) -> Target:
    """Connect to the place where parts run: this machine, or a namespace of a cluster.

    Args:
        name: ``local``: processes on this machine's loopback; ``cluster``: a namespace of the
            cluster that the kubeconfig or the surrounding pod names; ``auto``: what the variable
            ``WORKSHOP_TARGET`` says, else in a workbench the cluster, and elsewhere this machine.

    Raises:
        SettingsError: There is no such target, the environment cannot be used, or this library is
            another checkout's.
    """
    setting = "WORKSHOP_TARGET" if name == AUTO else "TARGET"
    name = default_target() if name == AUTO else name
    if name not in TARGETS:
        close = difflib.get_close_matches(str(name), TARGETS, 1)
        raise SettingsError(
            f"There is no target {name!r}.",
            where=f"the {'parameter' if setting == 'TARGET' else 'variable'} {setting}",
            state="targets: " + ", ".join(TARGETS),
            hint=f'set {setting} = "{close[0] if close else TARGETS[0]}"',
        )
    refuse_another_checkout()
    # In a kernel of JupyterLab; what the command line starts has absolute paths already.
    make_paths_absolute(CHECKOUT)
    settings = Settings.from_env()
    if name == "cluster":
        from workshop.targets.cluster.login import connect as log_in
        from workshop.targets.cluster.target import ClusterTarget

        cluster = ClusterTarget(log_in(), ALL)
        _tell_the_room(cluster.store.report)
        return cluster
    from workshop.targets.local.target import LocalTarget

    return LocalTarget(settings, ALL)


def _tell_the_room(report: Callable[[str, Mapping[str, str]], object]) -> None:
    """Report that this notebook runs, and each cell that fails or proves something.

    JupyterLab and ``workshop run`` name the notebook in a variable; elsewhere nothing is told. 99
    is not: it ends where the others begin.
    """
    found = re.match(r"(\d\d)_", Path(os.environ.get(NOTEBOOK, "")).name)
    shell = progress.shell()
    if found is None or found[1] == "99" or shell is None:
        return
    step, last = found[1], ""

    def tell(state: str, said: str = "") -> None:
        nonlocal last
        last, at = state, datetime.now(UTC).isoformat(timespec="seconds")
        with suppress(WorkshopError):
            report(step, {"state": state, "at": at, "said": said})

    def ended(result: Any) -> None:
        error, shown = result.error_in_exec, result.result
        if isinstance(error, WorkshopError):
            tell("failed", error.what)
        elif isinstance(error, Exception):
            tell("failed", type(error).__name__)
        elif isinstance(shown, Checks):
            tell("passed", shown.skipped or counted(len(shown), "check"))
        elif last == "failed":
            tell("running")

    for before in _telling:
        shell.events.unregister("post_run_cell", before)
    _telling[:] = [ended]
    shell.events.register("post_run_cell", ended)
    tell("running")


_telling: list[Callable[[Any], None]] = []  # What this kernel calls after each cell.


def check_environment(target: Target) -> Checks:
    """Test everything that the notebooks need, and list all that is missing at once.

    Raises ``CheckFailed``, in which each line says how to fix it.
    """
    checks = Checks(f"Environment ({target.name})")
    for check in target.environment():
        checks.add(check, "make setup" if check.expected == "installed" else "")
    return checks.raise_if_failed()


def clean_up(target: Target, *, delete_data: bool = False) -> list[str]:
    """Stop all parts and remove what they left; with ``delete_data`` their data too."""
    with stages("Clean-up") as stage:
        removed = target.clean_up(data=delete_data, stage=stage)
        for name in removed:
            stage(f"removed {name}")
        return removed


def verify_clean_up(target: Target, *, delete_data: bool = False) -> Checks:
    """Prove that nothing of the kit is left; with ``delete_data`` none of its data either.

    Raises ``CheckFailed``, which names what is.
    """
    checks = Checks("Clean-up")
    name, hint = "nothing of the kit is left", "workshop status; workshop stop"
    left = partial(target.leftovers, data=delete_data)
    checks.equal(name, "nothing", lambda: ", ".join(left()) or "nothing", hint=hint)
    return checks.raise_if_failed()
