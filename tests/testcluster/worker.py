"""The node itself: containerd, kubelet, kube-proxy, and the pods' network."""

from __future__ import annotations

import json

from workshop.core.wait import NotYet, wait_for

from testcluster import mounts
from testcluster.pki import Authority
from testcluster.place import DNS, NAME, NODE, PAUSE, PODS, SLOT, START, URL, Place


def start(place: Place, authority: Authority) -> None:
    """Start them; the node is Ready some seconds later."""
    folder = place.folder
    for name, text in _containerd(place).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    program = place.debian / "usr" / "bin" / "containerd"
    place.start("containerd", f"--config={folder}/containerd.toml", program=program)
    wait_for(
        "containerd",
        lambda: place.socket.exists() or NotYet("no socket"),
        timeout=START,
        every=0.1,
        log=lambda: place.process("containerd").log_tail(),
    )
    account = authority.kubeconfig("kubelet", URL, f"system:node:{NAME}", "system:nodes")
    server, key = authority.sign("kubelet-server", NAME, hosts=(NODE, NAME))
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.file)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(server),
        "tlsPrivateKeyFile": str(key),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{place.socket}",
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        "evictionHard": {},
        "resolvConf": str(folder / "resolv.conf"),
        "makeIPTablesUtilChains": False,
        "podLogsDir": str(folder / "logs"),
        "nodeStatusUpdateFrequency": "4s",
    }
    if SLOT:
        mounts.make_control_group(mounts.CONTROL_GROUP)
        config |= {"cgroupRoot": f"/{mounts.CONTROL_GROUP}", "cgroupsPerQOS": True}
    (folder / "resolv.conf").write_text("")
    (folder / "kubelet.json").write_text(json.dumps(config))
    place.start(
        "kubelet",
        f"--config={folder}/kubelet.json",
        f"--kubeconfig={account}",
        f"--root-dir={folder}/kubelet",
        f"--hostname-override={NAME}",
        f"--node-ip={NODE}",
        f"--cert-dir={folder}/kubelet-certificates",
    )
    proxy = authority.kubeconfig("proxy", URL, "system:kube-proxy", "system:node-proxier")
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(proxy)},
        "mode": "nftables",
        "clusterCIDR": PODS,
        "hostnameOverride": NAME,
        "conntrack": {"maxPerCore": 0, "min": 0},
    }
    (folder / "kube-proxy.json").write_text(json.dumps(settings))
    place.start("kube-proxy", f"--config={folder}/kube-proxy.json")


def _containerd(place: Place) -> dict[str, str]:
    """Containerd's configuration and the pods' network, by file name."""
    folder, debian = place.folder, place.debian
    toml = f'''version = 2
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{place.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # Small virtual machines lack CAP_SYS_RESOURCE, and runc dies without this.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{debian}/usr/lib/cni"
  conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = "{debian}/usr/sbin/runc"
'''
    network = {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                # Every packet between pods is routed by the node, as kube-proxy's rules need it;
                # with a bridge, answers would pass them by.
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "dataDir": f"{folder}/addresses",
                    "ranges": [[{"subnet": PODS.replace("/16", "/24")}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
        ],
    }
    return {"containerd.toml": toml, "cni/10-pods.conflist": json.dumps(network)}
