"""From a notebook's ``TARGET`` to the place where parts run."""

from __future__ import annotations

import difflib

from workshop.core.errors import SettingsError
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
