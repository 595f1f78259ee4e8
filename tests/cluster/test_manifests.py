"""Every overlay builds, and is valid for a cluster that has all kinds: by API server and schema."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from testcluster import schemas
from testcluster.kubectl import kubectl, restricted_namespace
from testcluster.node import Node
from testcluster.openshift import crds
from workshop.targets.cluster import objects
from workshop.targets.cluster.login import connect

NAMESPACE = "manifests"
FOLDERS = sorted(
    path.parent.relative_to(objects.MANIFESTS)
    for path in objects.MANIFESTS.rglob("kustomization.yaml")
    if "kind: Kustomization" in path.read_text("utf-8")
)

pytestmark = pytest.mark.timeout(1800)


def built(folder: Path) -> str:
    """What kustomize makes of it."""
    argv = [objects.kubectl(), "kustomize", str(objects.MANIFESTS / folder)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def cluster(openshift_node: Node) -> Node:
    """With the kinds of both generations, as after an upgrade."""
    crds.install(openshift_node.kubeconfig, "llamastack")
    return openshift_node


@pytest.fixture(scope="module")
def conform(
    cluster: Node, say: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs kubeconform with this cluster's own schemas."""
    folder = tmp_path_factory.mktemp("schemas")
    api = connect({"KUBECONFIG": str(cluster.kubeconfig)})
    assert schemas.write(api, folder) > 100
    go = schemas.kubeconform(say)
    return lambda text: schemas.conform(folder, text, go)


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_the_api_server_takes_it(cluster: Node, folder: Path) -> None:
    restricted_namespace(cluster.kubeconfig, NAMESPACE)
    text = built(folder)
    named = {one["metadata"].get("namespace") for one in yaml.safe_load_all(text)} - {None}
    for namespace in sorted(named):
        restricted_namespace(cluster.kubeconfig, namespace)
    where = () if named else ("-n", NAMESPACE)
    words = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
    done = kubectl(cluster.kubeconfig, *where, *words, input=text, check=False)
    assert done.returncode == 0, done.stderr
    # PodSecurity warns of pods in Deployments, which it would refuse later.
    assert "would violate PodSecurity" not in done.stderr


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_it_conforms_to_the_schemas(
    conform: Callable[[str], subprocess.CompletedProcess[str]], folder: Path
) -> None:
    done = conform(built(folder))
    assert done.returncode == 0, done.stdout
    assert "Skipped: 0" in done.stdout


def test_a_misspelt_field_does_not_conform(
    conform: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    text = built(Path("mongodb/base")).replace("readinessProbe:", "readynessProbe:")
    done = conform(text)
    assert done.returncode != 0
    assert "readynessProbe" in done.stdout
