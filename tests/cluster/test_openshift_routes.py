"""Routes: a real HAProxy in front of pods."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import openshift_help as help_
import pytest
from openshift_help import MODEL, shown, until
from testcluster.kubectl import apply, kubectl
from testcluster.node import Node
from testcluster.openshift import names
from testcluster.openshift.resolving import routes_resolved
from testcluster.place import Place

pytestmark = pytest.mark.timeout(1800)

PROJECT = "attendee-3"


@pytest.fixture(scope="module")
def cluster(openshift_node: Node, place: Place) -> Node:
    """The OpenShift with a server, and a Service in front of it."""
    help_.add_servers(place)
    help_.namespace(openshift_node, PROJECT)
    labels = {"app": "web"}
    port = {"name": "http", "port": 80, "targetPort": 8080}
    objects = (
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "server", "image": MODEL}]},
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"selector": labels, "ports": [port]},
        },
        route("web", {"termination": "edge", "insecureEdgeTerminationPolicy": "Redirect"}),
        route("patient", {"termination": "edge"}, timeout="3s"),
        route("hasty", {"termination": "edge"}, timeout="500ms"),
    )
    apply(openshift_node.kubeconfig, *objects, namespace=PROJECT)
    rollout = ("rollout", "status", "deployment/web", "--timeout=90s")
    kubectl(openshift_node.kubeconfig, "-n", PROJECT, *rollout)
    return openshift_node


def route(name: str, tls: dict[str, str], timeout: str = "") -> dict[str, Any]:
    annotations = {"haproxy.router.openshift.io/timeout": timeout} if timeout else {}
    return {
        "apiVersion": "route.openshift.io/v1",
        "kind": "Route",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "to": {"kind": "Service", "name": "web"},
            "port": {"targetPort": "http"},
            "tls": tls,
        },
    }


@pytest.fixture
def browser(cluster: Node) -> Iterator[httpx.Client]:
    """A client that trusts what everybody may read."""
    words = ("-n", "openshift-config-managed", "get", "configmap", "default-ingress-cert")
    account = f"--as=system:serviceaccount:{PROJECT}:default"
    groups = ("--as-group=system:authenticated", "--as-group=system:serviceaccounts")
    told = kubectl(cluster.kubeconfig, *words, account, *groups, "-o", "json").stdout
    context = ssl.create_default_context(cadata=json.loads(told)["data"]["ca-bundle.crt"])
    with routes_resolved(), httpx.Client(verify=context, timeout=10) as client:
        yield client


def answering(cluster: Node, browser: httpx.Client, name: str) -> str:
    """The address of an admitted Route, once it answers."""

    def admitted(one: dict[str, Any]) -> str | None:
        ingress = (one.get("status") or {}).get("ingress") or [{}]
        states = [(c["type"], c["status"]) for c in ingress[0].get("conditions", [])]
        if states != [("Admitted", "True")]:
            return None
        url = f"https://{ingress[0]['host']}"
        return url if browser.get(f"{url}/v1/health").status_code == 200 else None

    return until(cluster, PROJECT, ("route", name), admitted)


def test_a_route_is_admitted_and_answers_with_tls(cluster: Node, browser: httpx.Client) -> None:
    url = answering(cluster, browser, "web")
    assert url == f"https://web-{PROJECT}.{names.APPS}"
    assert shown(cluster, PROJECT, "route", "web")["spec"]["host"] == url.removeprefix("https://")
    plain = browser.get(url.replace("https", "http"), follow_redirects=False)
    assert plain.status_code == 302
    assert plain.headers["location"].startswith(url)


def test_a_name_without_a_route_is_not_available(cluster: Node, browser: httpx.Client) -> None:
    answer = browser.get(f"https://nothing.{names.APPS}/")
    assert answer.status_code == 503
    assert "Application is not available" in answer.text


def test_the_timeout_is_the_routes_own(cluster: Node, browser: httpx.Client) -> None:
    patient = answering(cluster, browser, "patient")
    assert browser.get(f"{patient}/slow?for=1s").status_code == 200
    hasty = answering(cluster, browser, "hasty")
    assert browser.get(f"{hasty}/slow?for=1s").status_code == 504


def test_a_second_route_for_a_host_is_not_admitted(cluster: Node, browser: httpx.Client) -> None:
    answering(cluster, browser, "web")
    second = route("second", {"termination": "edge"})
    second["spec"]["host"] = f"web-{PROJECT}.{names.APPS}"
    apply(cluster.kubeconfig, second, namespace=PROJECT)

    def reason(one: dict[str, Any]) -> str | None:
        ingress = (one.get("status") or {}).get("ingress")
        return ingress[0]["conditions"][0].get("reason") if ingress else None

    assert until(cluster, PROJECT, ("route", "second"), reason) == "HostAlreadyClaimed"
