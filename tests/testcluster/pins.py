"""Every version that the test cluster is made of."""

from __future__ import annotations

from dataclasses import dataclass

KUBERNETES = "v1.35.4"
STAGING = "v0.35.4"
"""The version of the modules that Kubernetes' own go.mod replaces by folders of its repository."""


@dataclass(frozen=True)
class Program:
    """A Go program: its module and version, and the packages that are built from it.

    With a ``main`` of our own, the one package is ``./NAME``.
    """

    module: str
    version: str
    packages: tuple[str, ...]
    flags: str = "-s -w"
    main: str = ""


COREDNS_GO = """package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() {
	dnsserver.Directives = []string{"health", "ready", "errors", "cache", "template", "kubernetes"}
	coremain.Run()
}
"""
"""CoreDNS with the plugins that ``dns`` configures: the others are minutes of clouds' clients."""

_VERSION = "k8s.io/component-base/version"

PROGRAMS = (
    Program(
        "k8s.io/kubernetes",
        KUBERNETES,
        tuple(
            f"k8s.io/kubernetes/cmd/{name}"
            for name in (
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
            )
        ),
        f"-s -w -X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1 "
        f"-X {_VERSION}.gitMinor=35",
    ),
    Program("go.etcd.io/etcd/server/v3", "v3.6.14", ("go.etcd.io/etcd/server/v3",)),
    Program("github.com/coredns/coredns", "v1.12.4", ("./coredns",), main=COREDNS_GO),
)

KSERVE = Program("github.com/kserve/kserve", "v0.15.2", ("github.com/kserve/kserve/cmd/manager",))
"""The controller of the OpenShift profile; built when that profile is first wanted."""

OPENSHIFT_API = ("github.com/openshift/api", "v0.0.0-20250725072657-92b1455121e1")
PROMETHEUS_OPERATOR = ("github.com/prometheus-operator/prometheus-operator", "v0.85.0")
"""Modules that only CRDs are taken from."""

DEBIAN = (
    *("containerd", "runc", "containernetworking-plugins"),
    *("nftables", "libnftables1", "libnftnl11", "libmnl0", "libjansson4", "libxtables12"),
    *("iptables", "libseccomp2", "conntrack"),
    *("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"),
)
"""Debian packages that are unpacked into the cache; nothing is installed on the machine."""
