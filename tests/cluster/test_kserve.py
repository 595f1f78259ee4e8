"""KServe without OpenShift: the real controller, a Service that maps ports, and vLLM's own key."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import small
import workshop
from testcluster import pins, programs, software
from testcluster.kubectl import apply as apply_objects
from testcluster.kubectl import kubectl, restricted_namespace, wait_for_crds
from testcluster.node import Node
from testcluster.openshift import crds, kserve, names, profile
from testcluster.place import Place
from workshop.core.errors import PartFailed
from workshop.core.progress import Stages
from workshop.core.wait import NotYet
from workshop.parts.catalog import ALL
from workshop.targets.base import Endpoint, Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.login import connect
from workshop.targets.cluster.manifests import Plan, Resource
from workshop.targets.cluster.manifests.model import KSERVE
from workshop.targets.cluster.target import ClusterTarget

NAMESPACE = "kserve-alone"

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def target(node: Node, place: Place, say: Callable[[str], None]) -> Iterator[ClusterTarget]:
    """A cluster with KServe; the tests after these find a plain one again."""
    node.up(say)
    try:
        module = (pins.KSERVE.module, pins.KSERVE.version)
        files = [programs.module_folder(*module) / file for file in crds.REAL[module]]
        apply = ("apply", "--server-side", *(f"--filename={file}" for file in files))
        kubectl(node.kubeconfig, *apply)
        wait_for_crds(node.kubeconfig)
        apply_objects(node.kubeconfig, profile.namespace(names.APPLICATIONS))
        kserve.start(place, node.kubeconfig, say, headless=False)
        software.add_vllm(place)
        restricted_namespace(node.kubeconfig, NAMESPACE)
        env = {"KUBECONFIG": str(node.kubeconfig), "WORKSHOP_NAMESPACE": NAMESPACE}
        yield ClusterTarget(connect(env), ALL)
    finally:
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
        "model serves only /v1, /health and /metrics",
        "calls a tool when asked",
    ]


def crashing(part: Part, _api: Api) -> Plan:
    """A small server that is ready for some seconds, and then ends: as KServe's own container."""
    built = small.built(part)
    small.setting("END_AFTER", "5")(built)
    pod = built[0]["spec"]["template"]["spec"]
    pod["containers"][0]["name"] = "kserve-container"
    digest = objects.digest(built)
    meta = built[0]["metadata"] | {"annotations": {objects.DIGEST: digest}}
    made = {"apiVersion": KSERVE[0], "kind": KSERVE[1], "metadata": meta}
    predictor = f"{small.NAME}-predictor"
    return Plan(
        [made | {"spec": {"predictor": pod}}],
        digest,
        deployment=predictor,
        pods={"serving.kserve.io/inferenceservice": small.NAME},
        service=predictor,
        port=80,
        resource=Resource(*KSERVE, small.NAME),
    )


def test_kserves_ready_is_not_believed_while_the_container_restarts(
    target: ClusterTarget, place: Place
) -> None:
    small.add_image(place)
    other = ClusterTarget(target.api, ALL, {small.NAME: crashing})
    seen: set[tuple[str, int]] = set()

    def ready(_endpoint: Endpoint) -> NotYet:
        made = target.api.get(*KSERVE, small.NAME) or {}
        said = {one["type"]: one["status"] for one in made["status"]["conditions"]}
        [pod] = [
            one
            for one in target.api.list("v1", "Pod")
            if one["metadata"]["name"].startswith(small.NAME)
        ]
        seen.add((said["Ready"], pod["status"]["containerStatuses"][0]["restartCount"]))
        return NotYet("it does not answer as it should")

    with pytest.raises(PartFailed) as failed:
        other.ensure(Part(small.NAME, 8080), ready=ready, timeout=120, stage=Stages("small"))
    assert failed.value.what == "mongodb ends again and again."
    assert failed.value.log == ("serving", "the disk is full")
    assert ("True", 1) in seen
    assert other.stop(small.NAME) == [small.NAME]


def test_it_goes_with_what_kserve_made_of_it(target: ClusterTarget) -> None:
    assert target.stop("model") == ["model"]
    assert target.leftovers() == ["ConfigMap agent-workshop-kit"]
    assert target.api.list("apps/v1", "Deployment") == []
