"""KServe without OpenShift: the real controller, a Service that maps ports, and vLLM's own key."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import workshop
from testcluster import pins, programs, software
from testcluster.kubectl import apply as apply_objects
from testcluster.kubectl import kubectl, restricted_namespace
from testcluster.node import Node
from testcluster.openshift import crds, kserve, names, profile
from testcluster.place import Place
from workshop.cluster.login import connect
from workshop.cluster.target import ClusterTarget
from workshop.errors import PartFailed
from workshop.settings import Settings

NAMESPACE = "kserve-alone"

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def target(node: Node, place: Place, say: Callable[[str], None]) -> Iterator[ClusterTarget]:
    """A cluster with KServe; the tests after these find a plain one again."""
    node.up(say)
    module = (pins.KSERVE.module, pins.KSERVE.version)
    files = [programs.module_folder(*module) / file for file in crds.REAL[module]]
    apply = ("apply", "--server-side", *(f"--filename={file}" for file in files))
    kubectl(node.kubeconfig, *apply)
    established = ("wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")
    kubectl(node.kubeconfig, *established)
    apply_objects(node.kubeconfig, profile.namespace(names.APPLICATIONS))
    kserve.start(place, node.kubeconfig, say, headless=False)
    software.add_vllm(place)
    restricted_namespace(node.kubeconfig, NAMESPACE)
    env = {"KUBECONFIG": str(node.kubeconfig), "WORKSHOP_NAMESPACE": NAMESPACE}
    yield ClusterTarget(Settings(), connect(env))
    node.up(say)


def test_the_model_is_an_inference_service_behind_a_service_with_an_address(
    target: ClusterTarget,
) -> None:
    deployed = workshop.serve_model(target)
    service = f"http://model-predictor.{NAMESPACE}.svc.cluster.local:80"
    assert deployed.endpoint.inside == service
    assert target.api.get("serving.kserve.io/v1beta1", "InferenceService", "model")
    assert workshop.serve_model(target).action == "reused"


def test_it_answers_with_the_token_refuses_without_and_calls_a_tool(
    target: ClusterTarget,
) -> None:
    checks = workshop.verify_model(target)
    assert [check.name for check in checks if check.ok] == [
        "is the one that was asked for",
        "answers a question",
        "refuses without the token",
        "calls a tool when asked",
    ]


def test_it_says_that_it_is_ready_while_its_new_container_restarts(target: ClusterTarget) -> None:
    with pytest.raises(PartFailed) as failed:
        workshop.serve_model(target, model="/not/there/qwen3-14b")
    assert failed.value.what == "model ends again and again."
    assert "/not/there/qwen3-14b" in failed.value.log[-1]
    # The pod of before is still there, and enough for KServe.
    made = target.api.get("serving.kserve.io/v1beta1", "InferenceService", "model")
    conditions = {one["type"]: one["status"] for one in made["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    assert workshop.serve_model(target).action == "changed"


def test_it_goes_with_what_kserve_made_of_it(target: ClusterTarget) -> None:
    assert target.stop("model") == ["model"]
    assert target.leftovers() == ["ConfigMap agent-workshop-kit"]
    assert target.api.list("apps/v1", "Deployment") == []
