"""The MCP server's manifests on a real Kubernetes, as OpenShift would admit them."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testcluster import software
from testcluster.kubectl import UID, apply, kubectl, restricted_namespace
from testcluster.node import Node
from testcluster.place import Place
from workshop.clients import http, mcp
from workshop.core import versions
from workshop.core.errors import EndpointError
from workshop.core.secret import Secret
from workshop.parts import mcp_server
from workshop.targets.base import Endpoint

pytestmark = pytest.mark.timeout(1800)

BASE = Path(__file__).resolve().parents[2] / "manifests" / "mcp-server" / "base"
NAMESPACE = "attendee-1"


@pytest.fixture(scope="module")
def deployed(node: Node, place: Place) -> Iterator[Endpoint]:
    """The server, reached by a forwarded port of this machine."""
    software.add_mcp_server(place)
    restricted_namespace(node.kubeconfig, NAMESPACE)
    token = Secret(secrets.token_urlsafe(32))
    content = {
        "connection-string": "mongodb://mongodb:27017/",
        "http-headers": json.dumps({"authorization": f"Bearer {token.reveal()}"}),
    }
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "mongodb-mcp-server"},
        "stringData": content,
    }
    apply(node.kubeconfig, secret, *admitted(node), namespace=NAMESPACE)
    rollout = ("rollout", "status", "deployment/mongodb-mcp-server", "--timeout=90s")
    done = kubectl(node.kubeconfig, "-n", NAMESPACE, *rollout, check=False)
    logs = kubectl(
        node.kubeconfig, "-n", NAMESPACE, "logs", "deployment/mongodb-mcp-server", check=False
    )
    assert done.returncode == 0, done.stdout + logs.stdout + logs.stderr
    with Forwarded(node, "service/mongodb-mcp-server", 3000, 3001) as (main, monitoring):
        yield Endpoint(
            f"http://127.0.0.1:{main}",
            token=token,
            also={"monitoring": f"http://127.0.0.1:{monitoring}"},
        )


def admitted(node: Node) -> list[dict[str, Any]]:
    """The manifests as they are, with the user that OpenShift's admission would add."""
    built = ("apply", "-k", str(BASE), "--dry-run=client", "-o", "json")
    objects: list[dict[str, Any]] = json.loads(kubectl(node.kubeconfig, *built).stdout)["items"]
    for one in objects:
        if one["kind"] == "Deployment":
            assert "runAsUser" not in one["spec"]["template"]["spec"]["securityContext"]
            one["spec"]["template"]["spec"]["securityContext"]["runAsUser"] = UID
        one["metadata"].pop("namespace", None)
    return objects


class Forwarded:
    """Ports of a Service on this machine's loopback, as ``kubectl port-forward`` gives them."""

    def __init__(self, node: Node, what: str, *ports: int) -> None:
        argv = ["kubectl", f"--kubeconfig={node.kubeconfig}", "-n", NAMESPACE, "port-forward"]
        self.argv = [*argv, what, *(f":{port}" for port in ports)]
        self.count = len(ports)

    def __enter__(self) -> list[int]:
        self.child = subprocess.Popen(
            [*self.argv, "--address=127.0.0.1"], stdout=subprocess.PIPE, text=True
        )
        assert self.child.stdout
        lines = [self.child.stdout.readline() for _ in range(self.count)]
        return [int(re.findall(r":(\d+) ->", line)[0]) for line in lines]

    def __exit__(self, *_: object) -> None:
        self.child.terminate()
        self.child.communicate()


def test_it_runs_read_only_under_any_user(node: Node, deployed: Endpoint) -> None:
    assert mcp_server.health(deployed)["version"] == versions.MCP_SERVER
    names = {tool.name for tool in mcp.list_tools(deployed, mcp_server.PATH)}
    assert {"find", "count", "list-collections"} <= names
    assert not names & {*mcp_server.WRITERS, "connect", "export"}
    status = ("get", "pods", "-l", "app=mongodb-mcp-server", "-o", "json")
    (pod,) = json.loads(kubectl(node.kubeconfig, "-n", NAMESPACE, *status).stdout)["items"]
    assert pod["spec"]["securityContext"]["runAsUser"] == UID
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    assert pod["status"]["qosClass"] == "Burstable"


def test_it_refuses_without_the_shared_secret(deployed: Endpoint) -> None:
    for token in (None, Secret("not-the-secret")):
        stranger = Endpoint(deployed.url, token=token)
        with pytest.raises(EndpointError, match="403"):
            mcp.initialize(stranger, mcp_server.PATH)


def test_a_database_that_is_not_there_is_said_in_the_result(deployed: Endpoint) -> None:
    result = mcp.call_tool(
        deployed,
        mcp_server.PATH,
        "list-collections",
        {"connectionId": versions.CONNECTION_ID, "database": "mcp_demo"},
    )
    assert result.failed
    assert "Could not connect to MongoDB" in result.text


def test_its_metrics_count_the_call(deployed: Endpoint) -> None:
    monitoring = Endpoint(deployed.also["monitoring"])
    text = http.call(monitoring, "/metrics").text
    assert re.search(r'mcp_tool_execution_duration_seconds_count\{.*"list-collections"', text)


def test_no_credential_stands_in_the_objects_that_an_attendee_may_read(
    node: Node, deployed: Endpoint
) -> None:
    assert deployed.token
    for kind in ("deployments", "pods", "services", "configmaps", "events"):
        shown = kubectl(node.kubeconfig, "-n", NAMESPACE, "get", kind, "-o", "yaml").stdout
        assert deployed.token.reveal() not in shown
    logs = kubectl(
        node.kubeconfig, "-n", NAMESPACE, "logs", "deployment/mongodb-mcp-server", check=False
    )
    assert deployed.token.reveal() not in logs.stdout
