"""The control plane: etcd, API server, controller manager, scheduler."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import httpx
from workshop.core.wait import NotYet, wait_for

from testcluster.pki import Authority
from testcluster.place import API, NODE, PODS, SERVICES, START, URL, Place

ARGUMENTS = "apiserver.json"
"""Where the API server's arguments are kept."""


def start(place: Place, authority: Authority) -> None:
    """Start it, and wait until the API server is ready."""
    folder = place.folder
    etcd = "http://127.0.0.1:2379"
    place.start(
        "etcd",
        f"--data-dir={folder}/etcd",
        f"--listen-client-urls={etcd}",
        f"--advertise-client-urls={etcd}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
        "--logger=zap",
        "--log-level=warn",
    )
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    hosts = (NODE, "127.0.0.1", API, *names, "kubernetes.default.svc.cluster.local")
    server, server_key = authority.sign("apiserver", "kube-apiserver", hosts=hosts)
    kubelet, kubelet_key = authority.sign("kubelet-client", "apiserver", group="system:masters")
    proxy, proxy_key = authority.sign("front-proxy", "front-proxy-client")
    public, private_key = authority.signing_key()
    arguments = [
        f"--advertise-address={NODE}",
        "--secure-port=6443",
        f"--etcd-servers={etcd}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={SERVICES}",
        "--allow-privileged=true",
        f"--client-ca-file={authority.file}",
        f"--tls-cert-file={server}",
        f"--tls-private-key-file={server_key}",
        f"--kubelet-client-certificate={kubelet}",
        f"--kubelet-client-key={kubelet_key}",
        f"--kubelet-certificate-authority={authority.file}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={public}",
        f"--service-account-signing-key-file={private_key}",
        f"--requestheader-client-ca-file={authority.file}",
        # Must be given: it is the same authority, and any of its clients would be believed.
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={proxy}",
        f"--proxy-client-key-file={proxy_key}",
    ]
    (folder / ARGUMENTS).write_text(json.dumps(arguments))
    start_api_server(place)
    authority.kubeconfig("admin", URL, "admin", "system:masters")
    wait_for(
        "the API server",
        lambda: _healthy(authority.folder) or NotYet("no answer"),
        timeout=START,
        every=0.2,
        log=lambda: place.process("kube-apiserver").log_tail(),
    )
    manager = authority.kubeconfig("manager", URL, "system:kube-controller-manager")
    place.start(
        "kube-controller-manager",
        f"--kubeconfig={manager}",
        f"--authentication-kubeconfig={manager}",
        f"--authorization-kubeconfig={manager}",
        f"--root-ca-file={authority.file}",
        f"--service-account-private-key-file={private_key}",
        "--use-service-account-credentials=true",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={PODS}",
        f"--service-cluster-ip-range={SERVICES}",
        "--leader-elect=false",
    )
    scheduler = authority.kubeconfig("scheduler", URL, "system:kube-scheduler")
    place.start("kube-scheduler", f"--kubeconfig={scheduler}", "--leader-elect=false")


def start_api_server(place: Place) -> None:
    """Start the API server as it was started first; tests end it and start it again."""
    place.start("kube-apiserver", *json.loads((place.folder / ARGUMENTS).read_text()))


def _healthy(pki: Path) -> bool:
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    try:
        return httpx.get(f"{URL}/readyz", verify=context, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
