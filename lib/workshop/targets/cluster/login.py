"""How this code reaches the cluster: from a kubeconfig, or from the pod in which it runs."""

import base64
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubernetes import client, config

from workshop.core import proxies
from workshop.core.errors import SettingsError
from workshop.core.proxies import Proxy
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.errors import no_cluster, no_login
from workshop.targets.cluster.kubeconfig import Login

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its service account; an OpenShift AI workbench is a pod."""

NAMESPACE = "agent-workshop"  # Used where neither the environment nor the kubeconfig names one.


def connect(env: Mapping[str, str] = os.environ, account: Path = ACCOUNT) -> Api:
    """The cluster that ``KUBECONFIG`` names, or in whose pod this code runs, or of ``~/.kube``.

    ``WORKSHOP_INGRESS_DOMAIN`` names a domain that leads to the cluster's Ingress controller.
    The namespace is ``WORKSHOP_NAMESPACE``, or else the pod's, or else the kubeconfig context's.

    Raises:
        SettingsError: There is no cluster to reach, or the namespace's name is none.
    """
    configuration = client.Configuration()
    # The kit repeats requests itself, with a limit and with progress.
    configuration.retries = False
    in_pod = bool(env.get("KUBERNETES_SERVICE_HOST")) and (account / "token").is_file()
    inside = in_pod and not env.get("KUBECONFIG")
    if inside:
        where, own = str(account), _from_pod(configuration, account)
        proxy = proxies.for_server(configuration.host, env)
    else:
        login = Login(env.get("KUBECONFIG", ""))
        where, own, proxy = login.where, login.namespace, login.proxy(env)
        _from_files(configuration, login)
    _verify(configuration, where)
    _go_through(configuration, proxy)
    namespace = env.get("WORKSHOP_NAMESPACE") or own or NAMESPACE
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
        raise SettingsError(
            f"{namespace!r} cannot be a namespace's name.",
            where="WORKSHOP_NAMESPACE",
            hint="small letters, digits and dashes, at most 63",
        )
    domain = env.get("WORKSHOP_INGRESS_DOMAIN", "").strip(".")
    return Api(client.ApiClient(configuration), namespace, inside=inside, ingress_domain=domain)


def _from_pod(configuration: Any, account: Path) -> str:
    """Log in as the pod's service account; gives the pod's namespace."""
    try:
        config.load_incluster_config(client_configuration=configuration)
        return (account / "namespace").read_text(encoding="utf-8").strip()
    except (config.ConfigException, OSError) as error:
        raise no_cluster(str(account), " ".join(str(error).split())[:300]) from error


def _from_files(configuration: Any, login: Login) -> None:
    credential = login.credential()
    first = credential()
    try:
        config.load_kube_config_from_dict(
            login.sections(first), client_configuration=configuration, persist_config=False
        )
    except (config.ConfigException, OSError) as error:
        raise no_login(login.where, " ".join(str(error).split())[:300]) from None
    if not first.authorization:
        return

    def renew(configuration: Any) -> None:
        header = credential().authorization
        if not (header.isascii() and header.isprintable()):
            # It would be refused as a header, and the refusal would quote it.
            raise no_login(login.where, "the token holds a line break or a letter beyond ASCII")
        configuration.api_key["BearerToken"] = header

    renew(configuration)
    # The client calls it before each request.
    configuration.refresh_api_key_hook = renew


def _verify(configuration: Any, where: str) -> None:
    """See that the certificates can be used: the client's own words for it are a traceback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    field = "certificate-authority"
    try:
        if configuration.ssl_ca_cert:
            context.load_verify_locations(configuration.ssl_ca_cert)
        field = "client-certificate with client-key"
        if configuration.cert_file:
            # Without a password here, a key that has one would be asked for on the terminal.
            context.load_cert_chain(configuration.cert_file, configuration.key_file, lambda: b"-")
    except OSError as error:
        # Of a file that holds none, OpenSSL only says what it did not find.
        said = getattr(error, "reason", None) or error.strerror or "nothing to read in it"
        raise no_login(where, f"{field} is not a PEM file to use: {said}") from None


def _go_through(configuration: Any, proxy: Proxy | None) -> None:
    """Set the client's proxy.

    Left to itself it takes ``HTTP_PROXY`` for https too, sends no login to a proxy, and forwards
    ports by other rules than it sends requests.
    """
    if proxy and proxy.url.startswith("https:"):
        raise SettingsError(
            "The proxy to the cluster cannot be used.",
            where=proxy.named,
            state="it is an https:// proxy, through which the client cannot forward ports",
            hint="use http:// for it: what goes through it to the API server is TLS anyway",
        )
    configuration.proxy = proxy.url if proxy else None
    configuration.no_proxy = None if proxy else "*"
    # A header is what makes port forwarding look at no_proxy; without a proxy it is sent to nobody.
    configuration.proxy_headers = {"proxy-connection": "keep-alive"}
    if proxy and proxy.login:
        pair = base64.b64encode(":".join(proxy.login).encode()).decode()
        configuration.proxy_headers = {"proxy-authorization": f"Basic {pair}"}
