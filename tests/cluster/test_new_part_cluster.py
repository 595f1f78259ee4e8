"""A new part is three files and one line, on a cluster too: tests/local/parts/test_new_part.py."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from exercise import checkout
from testcluster import images, software
from testcluster.kubectl import kubectl, restricted_namespace
from testcluster.node import Node
from testcluster.place import Place

IMAGE = "registry.test/memcached-standin:1"
"""As the part's manifests module has it."""

NAMESPACE = "new-part"

pytestmark = pytest.mark.timeout(900)

PROGRAM = """
import json
from workshop import connect, verify_network
from workshop.core.progress import Stages
from workshop.operate.credentials import rotate_credential
from workshop.parts import cache

target = connect("cluster")
actions = [cache.deploy_cache(target).action for _ in range(2)]
asked = cache.version(target.find("cache"))
policies = target.network.isolate({}, stage=Stages("isolate"))
tried = target.network.tried(stage=Stages("try"))
checks = verify_network(target, tried)
rotated = rotate_credential(target, "cache")
print(json.dumps({
    "actions": actions,
    "asked": asked,
    "policies": policies,
    "opened": [[one.source, one.port] for one in tried
               if one.destination == "cache" and one.seen == "open"],
    "tried": sum(one.destination == "cache" for one in tried),
    "from": sorted({one.destination for one in tried
                    if one.source == "cache" and one.seen == "open"}),
    "checks": [check.name for check in checks],
    "old": rotated.old,
    "secrets": [secret.reveal() for secret in target.store.secrets()],
    "reason": target.scaling.reason(cache.part_of(target)),
}))
"""

REMOVED = """
import json
from workshop import connect

target = connect("cluster")
print(json.dumps([target.clean_up(data=True), target.leftovers()]))
"""


@pytest.fixture(scope="module")
def env(node: Node, place: Place, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A namespace for it; what probes run on, and the stand-in, are on the node."""
    software.add_mcp_server(place)
    files = {**software.python(Path(sys.prefix)), "/memcached.py": checkout.MEMCACHED}
    variables = {"PATH": f"{sys.prefix}/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    images.add(place, IMAGE, files, entrypoint=("python", "/memcached.py"), env=variables)
    restricted_namespace(node.kubeconfig, NAMESPACE)
    home = str(tmp_path_factory.mktemp("home"))
    return {
        "KUBECONFIG": str(node.kubeconfig),
        "WORKSHOP_NAMESPACE": NAMESPACE,
        "WORKSHOP_HOME": home,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout.made(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def told(folder: Path, env: dict[str, str]) -> dict[str, Any]:
    done = checkout.python(folder, "-c", PROGRAM, **env)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_is_deployed_reused_and_asked(told: dict[str, Any]) -> None:
    assert told["actions"] == ["created", "reused"]
    assert told["asked"] == "1.6.0-standin"
    assert told["reason"] == "each replica would hold other keys"


def test_policies_open_it_to_notebooks_and_its_page_to_monitoring(told: dict[str, Any]) -> None:
    assert "workshop-notebook-to-cache-11211-in" in told["policies"]
    assert sorted(told["opened"]) == [
        ["monitoring", 9150],
        ["notebook", 11211],
        ["prometheus", 9150],
    ]
    assert told["tried"] > len(told["opened"])
    assert told["from"] == ["DNS"], "it may go nowhere itself"


def test_it_is_secured(told: dict[str, Any]) -> None:
    assert "cache refuses requests without a credential" in told["checks"]
    assert told["old"] == "refused: CLIENT_ERROR authentication failure"


def test_it_is_shown(told: dict[str, Any], folder: Path, env: dict[str, str]) -> None:
    target = ("--target", "cluster")
    shown = checkout.workshop(folder, "status", *target, **env).stdout
    url = rf"memcached://cache\.{NAMESPACE}\.svc:11211"
    assert re.search(rf"^cache +running +{url} ", shown, re.M), shown
    log = checkout.workshop(folder, "logs", "cache", *target, **env).stdout
    assert "memcached 1.6.0-standin listens on 0.0.0.0:11211" in log
    doctor = checkout.workshop(folder, "doctor", *target, **env).stdout
    assert "\n  [ OK ] cache: memcached 1.6.0-standin\n" in doctor
    assert "cause: " not in doctor
    assert not [secret for secret in told["secrets"] if secret in shown + log + doctor]


def test_the_doctor_names_it_when_it_does_not_run(
    told: dict[str, Any], node: Node, folder: Path, env: dict[str, str]
) -> None:
    words = ("-n", NAMESPACE, "delete", "deployment", "cache", "--cascade=foreground")
    kubectl(node.kubeconfig, *words)
    done = checkout.workshop(folder, "doctor", "--target", "cluster", **env)
    assert done.returncode == 1
    assert "\ncause: cache: " in done.stdout, done.stdout
    assert "run 12_deploy_cache again" in done.stdout


def test_it_is_removed(told: dict[str, Any], node: Node, folder: Path, env: dict[str, str]) -> None:
    done = checkout.python(folder, "-c", REMOVED, **env)
    removed, left = json.loads(done.stdout)
    assert {"Service cache", "Secret cache", "Secret agent-workshop-kit"} <= set(removed)
    assert left == []
    ours = ("-l", "app.kubernetes.io/component=cache", "-o", "name")
    kinds = "all,secrets,networkpolicies.networking.k8s.io"
    assert kubectl(node.kubeconfig, "-n", NAMESPACE, "get", kinds, *ours).stdout == ""
