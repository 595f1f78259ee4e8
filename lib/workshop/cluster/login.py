"""How this code reaches the cluster: from a kubeconfig, or from the pod in which it runs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workshop.cluster import official
from workshop.cluster.api import Api
from workshop.errors import SettingsError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its service account; an OpenShift AI workbench is a pod."""

NAMESPACE = "agent-workshop"
"""Used where neither the environment nor the kubeconfig names one."""


def connect(env: Mapping[str, str] = os.environ, account: Path = ACCOUNT) -> Api:
    """The cluster that ``KUBECONFIG`` names, or in whose pod this code runs, or of ``~/.kube``.

    ``WORKSHOP_INGRESS_DOMAIN`` names a domain that leads to the cluster's Ingress controller.
    The namespace is ``WORKSHOP_NAMESPACE``, or else the pod's, or else the kubeconfig context's.

    Raises:
        SettingsError: There is no cluster to reach, or the namespace's name is none.
    """
    client = official.pieces()
    config = client.config
    configuration = client.Configuration()
    # The kit repeats requests itself, with a limit and with progress.
    configuration.retries = False
    inside = bool(env.get("KUBERNETES_SERVICE_HOST")) and (account / "token").is_file()
    inside = inside and not env.get("KUBECONFIG")
    try:
        if inside:
            config.load_incluster_config(client_configuration=configuration)
            own = (account / "namespace").read_text(encoding="utf-8").strip()
        else:
            file = env.get("KUBECONFIG") or None
            config.load_kube_config(config_file=file, client_configuration=configuration)
            own = _context_namespace(config.list_kube_config_contexts(config_file=file)[1])
    except (config.ConfigException, OSError) as error:
        raise SettingsError(
            "There is no cluster to connect to.",
            where=env.get("KUBECONFIG") or "~/.kube/config",
            state=" ".join(str(error).split())[:300],
            hint="log in with oc login, or set KUBECONFIG to your cluster's file; without a "
            'cluster, set TARGET = "local"',
        ) from error
    domain = env.get("WORKSHOP_INGRESS_DOMAIN", "").strip(".")
    namespace = env.get("WORKSHOP_NAMESPACE") or own or NAMESPACE
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
        raise SettingsError(
            f"{namespace!r} cannot be a namespace's name.",
            where="WORKSHOP_NAMESPACE",
            hint="small letters, digits and dashes, at most 63",
        )
    return Api(client.ApiClient(configuration), namespace, inside=inside, ingress_domain=domain)


def _context_namespace(context: Mapping[str, Any]) -> str:
    named = str((context.get("context") or {}).get("namespace") or "")
    # A context without one means "default", in which a workshop has no place.
    return "" if named == "default" else named
