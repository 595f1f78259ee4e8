"""How much of a part runs: what is written into the real manifests, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from workshop.core.errors import SettingsError
from workshop.targets.base import Endpoint, Part, Scale
from workshop.targets.cluster import objects, scaling
from workshop.targets.cluster.manifests import Plan, Resource, llama_stack

MCP = Part("mcp-server", 3000)


def plan(folder: str, deployment: str, **more: Any) -> Plan:
    built = objects.build(objects.MANIFESTS / folder)
    names = {"deployment": deployment, "pods": {"app": deployment}, "service": deployment}
    return Plan(built, "digest", port=1, **names, **more)


def mcp_server() -> Plan:
    return plan("mcp-server/base", "mongodb-mcp-server")


def kinds(found: Plan) -> set[str]:
    return {thing["kind"] for thing in found.objects}


def one(found: Plan, kind: str) -> dict[str, Any]:
    return objects.one(found.objects, kind)


def test_what_was_never_scaled_is_left_as_its_manifest_says() -> None:
    before = mcp_server()
    after = scaling.applied(mcp_server(), "mcp-server", Scale(), 1)
    assert after.objects == before.objects


def test_replicas_come_one_by_one_with_a_budget_and_no_autoscaler() -> None:
    found = scaling.applied(mcp_server(), "mcp-server", Scale(3), 1)
    spec = one(found, "Deployment")["spec"]
    assert spec["replicas"] == 3
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert "HorizontalPodAutoscaler" not in kinds(found)
    selector = one(found, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    assert selector == {"app": "mongodb-mcp-server"}


@pytest.mark.parametrize(("now", "then"), [(1, 2), (3, 3), (9, 5)])
def test_what_an_autoscaler_has_chosen_stays_within_its_limits(now: int, then: int) -> None:
    found = scaling.applied(mcp_server(), "mcp-server", Scale(2, 5), now)
    assert one(found, "Deployment")["spec"]["replicas"] == then
    autoscaler = one(found, "HorizontalPodAutoscaler")["spec"]
    assert (autoscaler["minReplicas"], autoscaler["maxReplicas"]) == (2, 5)
    assert autoscaler["scaleTargetRef"]["name"] == "mongodb-mcp-server"


def test_limits_bring_requests_down_with_them() -> None:
    found = scaling.applied(mcp_server(), "mcp-server", Scale(cpu="50m", memory="1Gi"), 1)
    resources = objects.container(one(found, "Deployment"))["resources"]
    assert resources["limits"] == {"cpu": "50m", "memory": "1Gi"}
    assert resources["requests"] == {"cpu": "50m", "memory": "256Mi"}


def test_operators_kinds_are_scaled_by_their_own_fields() -> None:
    older = plan(
        "llama-stack/overlays/llamastackdistribution",
        "llama-stack",
        resource=Resource("llamastack.io/v1alpha1", "LlamaStackDistribution", "llama-stack"),
    )
    spec = one(scaling.applied(older, "llama-stack", Scale(2, 4), 1), "LlamaStackDistribution")[
        "spec"
    ]
    assert spec["replicas"] == 2
    assert spec["server"]["podDisruptionBudget"] == {"minAvailable": 1}
    assert spec["server"]["autoscaling"]["maxReplicas"] == 4
    newer = plan(
        "llama-stack/overlays/ogxserver",
        "llama-stack",
        resource=Resource("ogx.io/v1beta1", "OGXServer", "llama-stack"),
    )
    found = scaling.applied(newer, "llama-stack", Scale(2, 4), 1)
    workload = one(found, "OGXServer")["spec"]["workload"]
    assert (workload["replicas"], workload["autoscaling"]["minReplicas"]) == (2, 2)
    assert not kinds(found) & {"HorizontalPodAutoscaler", "PodDisruptionBudget"}


def test_kserve_scales_between_two_numbers_and_gets_a_budget() -> None:
    kserve = plan(
        "model/overlays/gpu",
        "model-predictor",
        resource=Resource("serving.kserve.io/v1beta1", "InferenceService", "model"),
    )
    found = scaling.applied(kserve, "model", Scale(2, 3), 1)
    predictor = one(found, "InferenceService")["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 3)
    assert "PodDisruptionBudget" in kinds(found)
    assert "HorizontalPodAutoscaler" not in kinds(found)


def test_state_of_its_own_is_the_reason_for_one_replica() -> None:
    stack = plan(
        "llama-stack/overlays/kubernetes",
        "llama-stack",
        keeps=("faiss keeps its vectors in one pod",),
    )
    wanted = "faiss keeps its vectors in one pod; the volume llama-stack-data is ReadWriteOnce"
    assert scaling.reason(stack) == wanted
    with pytest.raises(SettingsError) as refused:
        scaling.refuse(Part("llama-stack", 8321), stack, Scale(2), "cluster, namespace x")
    text = str(refused.value)
    assert text.startswith("llama-stack can have only one replica.")
    assert f"Last state: {wanted}" in text
    assert "Hint: 10_scale_out gives it storage that replicas share" in text
    # Other limits are no other replica.
    scaling.refuse(Part("llama-stack", 8321), stack, Scale(1, memory="2Gi"), "")


def test_shared_storage_takes_the_reason_away() -> None:
    stack = plan("llama-stack/overlays/kubernetes", "llama-stack")
    shared = Plan(
        llama_stack.without_volume(copy.deepcopy(stack.objects)),
        "digest",
        deployment="llama-stack",
        pods={},
        service="llama-stack",
        port=1,
    )
    assert scaling.reason(stack)
    assert scaling.reason(shared) is None
    assert "persistentVolumeClaim" not in str(one(shared, "Deployment"))


def test_shared_storage_leaves_nothing_inside_the_server() -> None:
    import yaml

    config = yaml.safe_load((objects.MANIFESTS / "llama-stack/base/config.yaml").read_text())
    llama_stack.use_postgresql(config)
    text = yaml.safe_dump(config)
    assert "sqlite" not in text
    assert "faiss" not in text
    assert config["vector_stores"]["default_provider_id"] == "pgvector"
    held = llama_stack.database_variables(
        Endpoint("postgresql://127.0.0.1:1", user="u", inside="postgresql://db.ns.svc:5432")
    )
    assert (held["POSTGRES_HOST"], held["POSTGRES_PORT"]) == ("db.ns.svc", "5432")


def test_a_deployment_of_before_does_not_count_as_scaled() -> None:
    deployment = one(scaling.applied(mcp_server(), "mcp-server", Scale(2), 1), "Deployment")
    assert scaling.fits(deployment, Scale(2))
    assert not scaling.fits(deployment, Scale(3))
    assert scaling.fits(deployment, Scale(1, 4))
    assert not scaling.fits(deployment, Scale(2, memory="3Gi"))


def test_a_scale_is_kept_as_it_was_asked_for() -> None:
    for scale in (Scale(2, 4), Scale(1, memory="1Gi")):
        assert scaling.read(scaling.text(scale)) == scale
    assert scaling.text(Scale()) is None
    assert scaling.read(None) == Scale()


def test_a_word_that_is_no_quantity_is_named() -> None:
    with pytest.raises(SettingsError, match="'much' is not a quantity"):
        scaling.quantity("much")
