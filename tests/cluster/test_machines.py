"""GPU nodes on a real Kubernetes with OpenShift's MachineSets; the cloud is simulated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from testcluster import cloud, cloud_kinds
from testcluster.cloud import INFRASTRUCTURE, SPACE, ZONES, Cloud, set_status, worker
from testcluster.kubectl import kubectl, restricted_namespace
from testcluster.node import Node
from workshop import add_gpu_nodes, clean_up, scale_gpu_nodes, verify_clean_up, verify_gpu_nodes
from workshop.core.errors import CheckFailed, PartFailed, PartTooSlow, SettingsError
from workshop.core.progress import stages
from workshop.core.wait import NotYet, wait_for
from workshop.parts.catalog import ALL
from workshop.parts.gpu_nodes import LABELS, TAINT
from workshop.targets.base import Machines
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.login import connect
from workshop.targets.cluster.target import ClusterTarget

pytestmark = pytest.mark.timeout(1800)

NAMESPACE = "gpu-lesson"
SETS = ("machine.openshift.io/v1beta1", "MachineSet")


def target_of(kubeconfig: Path, namespace: str) -> ClusterTarget:
    api = connect({"KUBECONFIG": str(kubeconfig), "WORKSHOP_NAMESPACE": namespace})
    return ClusterTarget(api, ALL)


@pytest.fixture(scope="module")
def api(node: Node) -> Api:
    """As the administrator."""
    restricted_namespace(node.kubeconfig, NAMESPACE)
    return connect({"KUBECONFIG": str(node.kubeconfig), "WORKSHOP_NAMESPACE": NAMESPACE})


@pytest.fixture(scope="module")
def kinds(api: Api) -> Iterator[None]:
    """OpenShift's kinds, and three workers' MachineSets."""
    crds = [
        *cloud_kinds.machine_api_crds(),
        *(cloud_kinds.open_crd(p, *r) for p, r in cloud_kinds.OLM.items()),
        *(cloud_kinds.open_crd(p, *r) for p, r in cloud_kinds.AUTOSCALING.items()),
    ]
    cloud_kinds.established(
        api,
        crds,
        lambda: bool(api.kind(*SETS) and api.kind("operators.coreos.com/v1", "OperatorGroup")),
    )
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    yield
    for crd in crds:
        api.delete(crd)


@pytest.fixture
def machine_api(api: Api, kinds: None) -> Iterator[Cloud]:
    """A cluster with workers in three zones, and nothing with a GPU."""
    for zone in ZONES:
        api.apply(worker(zone))
    with Cloud(Api(api.client, NAMESPACE)) as played:
        yield played
    for kind in ("MachineSet", "Machine"):
        for one in api.list(SETS[0], kind, namespace=SPACE):
            api.delete(one)
    for one in api.list("v1", "Node", "cluster-api/accelerator"):
        api.delete(one)


@pytest.fixture
def target(machine_api: Cloud, node: Node) -> ClusterTarget:
    return target_of(node.kubeconfig, NAMESPACE)


def ours(api: Api) -> list[str]:
    found = [one["metadata"]["name"] for one in api.list(*SETS, namespace=SPACE)]
    return [name for name in found if "-gpu-" in name]


def uninstall(api: Api) -> None:
    """Take the operators away again."""
    for kind in ("Subscription", "ClusterServiceVersion"):
        for one in api.list("operators.coreos.com/v1alpha1", kind, namespace=None):
            api.delete(one)
    for plural, group, version, kind in cloud_kinds.BROUGHT.values():
        api.delete(cloud_kinds.open_crd(plural, group, version, kind, "Cluster"))
    cloud_kinds.established(api, [], lambda: not api.kind("nvidia.com/v1", "ClusterPolicy"))


def test_plain_kubernetes_is_skipped_unless_a_node_offers_a_gpu(api: Api, node: Node) -> None:
    here = target_of(node.kubeconfig, NAMESPACE)
    reason = "this cluster has no MachineSets: its nodes are added outside of it"
    assert add_gpu_nodes(here) == reason
    assert verify_gpu_nodes(here).skipped == reason
    bare = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-1"}, "spec": {}}
    try:
        cloud.offer_gpu(api, api.apply(bare))
        assert add_gpu_nodes(here) == "nothing to add: gpu-1 offers 1 x nvidia.com/gpu"
        (check,) = verify_gpu_nodes(here)
        assert (check.name, check.ok) == ("a node offers a GPU", True)
        assert check.seen == "gpu-1 offers 1 x nvidia.com/gpu"
        lost = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
        set_status(api, bare, lost)
        with pytest.raises(CheckFailed, match="no Ready node offers one"):
            verify_gpu_nodes(here)
    finally:
        api.delete(bare)


def test_a_dry_run_shows_machine_set_and_price_and_makes_nothing(
    api: Api, target: ClusterTarget
) -> None:
    shown = add_gpu_nodes(target, dry_run=True, replicas=2)
    assert repr(shown) == str(shown)
    assert "2 x g6.4xlarge with one NVIDIA L4 (24 GB): about 2.65 USD an hour in all" in shown
    assert "on demand in us-east-1; check it for your region" in shown
    assert "# Operators that would be installed: nfd, gpu-operator-certified" in shown
    made = yaml.safe_load(shown)
    assert made["metadata"]["name"] == f"{INFRASTRUCTURE}-gpu-us-east-2b"
    assert made["spec"]["replicas"] == 2
    assert ours(api) == []
    assert api.list("operators.coreos.com/v1alpha1", "Subscription", namespace=None) == []
    assert verify_gpu_nodes(target, dry_run=True).skipped == "a dry run: nothing was created"


def test_nodes_are_added_marked_proven_and_removed(
    api: Api, target: ClusterTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckFailed, match="1 of 1 checks failed") as none:
        verify_gpu_nodes(target)
    assert "saw no Ready node offers one" in none.value.state
    name = f"{INFRASTRUCTURE}-gpu-us-east-2b"
    done = add_gpu_nodes(target, timeout=60)
    assert re.fullmatch(f"MachineSet {name} created; nodes with a GPU: ip-\\w+", done)
    (node,) = re.findall(r"ip-\w+", done)
    told = capsys.readouterr().err
    in_order = [
        "1 x g6.4xlarge with one NVIDIA L4 (24 GB): about 1.32 USD an hour in all",
        "installing nfd",
        "installing gpu-operator-certified",
        "the operators run",
        "making NodeFeatureDiscovery nfd-instance",
        "making ClusterPolicy gpu-cluster-policy",
        f"making MachineSet {name}",
        f"is the node {node}",
        f"node {node} is Ready; next come the driver and the device plugin",
        f"node {node} offers nvidia.com/gpu: 1",
    ]
    places = [told.find(text) for text in in_order]
    assert -1 not in places
    assert places == sorted(places), told

    made = api.get(*SETS, name, SPACE)
    assert made
    model = worker("us-east-2b")
    assert made["metadata"].get("annotations", {}) == {}
    assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "agent-workshop-kit"
    member = "machine.openshift.io/cluster-api-machineset"
    assert made["spec"]["selector"]["matchLabels"][member] == name
    template = made["spec"]["template"]
    assert template["metadata"]["labels"][member] == name
    assert "node-role.kubernetes.io/gpu" not in template["metadata"]["labels"]
    provider = template["spec"]["providerSpec"]["value"]
    kept = model["spec"]["template"]["spec"]["providerSpec"]["value"]
    assert provider == {**kept, "instanceType": "g6.4xlarge"}

    assert [(check.name, check.seen) for check in verify_gpu_nodes(target)] == [
        ("a node offers a GPU", f"{node} offers 1 x nvidia.com/gpu"),
        ("label node-role.kubernetes.io/gpu", node),
        ("label cluster-api/accelerator", node),
        ("taint nvidia.com/gpu", node),
    ]
    assert add_gpu_nodes(target) == f"nothing to add: {node} offers 1 x nvidia.com/gpu"

    api.merge({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}, NO_TAINT)
    with pytest.raises(CheckFailed) as failed:
        verify_gpu_nodes(target)
    assert "taint nvidia.com/gpu: expected nvidia.com/gpu:NoSchedule" in failed.value.state
    assert failed.value.hint == "oc adm taint node NODE nvidia.com/gpu=:NoSchedule"

    removed = clean_up(target)
    assert f"MachineSet {name} and its machines" in removed
    assert verify_clean_up(target)
    assert ours(api) == []
    assert len(api.list(*SETS, namespace=SPACE)) == len(ZONES)
    api.discover()
    assert api.list("nvidia.com/v1", "ClusterPolicy")


def test_nodes_come_and_go_with_the_number_and_an_autoscaler_has_its_limits(
    api: Api, target: ClusterTarget
) -> None:
    name = f"{INFRASTRUCTURE}-gpu-us-east-2b"
    autoscalers = ("autoscaling.openshift.io/v1beta1", "MachineAutoscaler")
    assert scale_gpu_nodes(target) == "left as they are: 0 asked for"
    shown = scale_gpu_nodes(target, replicas=2, most=4, dry_run=True)
    assert "kind: MachineAutoscaler" in shown
    assert "kind: ClusterAutoscaler" in shown
    assert ours(api) == []

    scale_gpu_nodes(target, replicas=2, most=4, timeout=60)
    assert len(target.machines.accelerators()) == 2
    limits = api.get(*autoscalers, name, SPACE)
    assert limits
    assert (limits["spec"]["minReplicas"], limits["spec"]["maxReplicas"]) == (2, 4)
    assert limits["spec"]["scaleTargetRef"]["name"] == name
    whole = api.get("autoscaling.openshift.io/v1", "ClusterAutoscaler", "default")
    assert whole
    gpus = {"type": "nvidia-gpu", "min": 0, "max": 4}
    assert whole["spec"]["resourceLimits"]["gpus"] == [gpus]

    # As the autoscaler does it when pods wait for a GPU; the kit leaves its number alone.
    grown = {"apiVersion": SETS[0], "kind": SETS[1], "metadata": {"name": name, "namespace": SPACE}}
    api.merge(grown, {"spec": {"replicas": 3}})
    scale_gpu_nodes(target, replicas=2, most=4, timeout=60)
    assert len(target.machines.accelerators()) == 3

    scale_gpu_nodes(target, replicas=1, timeout=60)
    assert api.get(*autoscalers, name, SPACE) is None
    assert (api.get(*SETS, name, SPACE) or {})["spec"]["replicas"] == 1

    scale_gpu_nodes(target, replicas=1, most=2, timeout=60)
    removed = clean_up(target)
    assert f"MachineAutoscaler {name}" in removed
    assert "ClusterAutoscaler default" in removed
    assert verify_clean_up(target)


def test_somebody_elses_cluster_autoscaler_is_left_alone(
    api: Api, target: ClusterTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = {
        "apiVersion": "autoscaling.openshift.io/v1",
        "kind": "ClusterAutoscaler",
        "metadata": {"name": "default"},
        "spec": {"resourceLimits": {"maxNodesTotal": 24}},
    }
    api.apply(theirs)
    try:
        scale_gpu_nodes(target, replicas=1, most=2, timeout=60)
        assert "within the limits of the ClusterAutoscaler that is there" in capsys.readouterr().err
        clean_up(target)
        kept = api.get(theirs["apiVersion"], "ClusterAutoscaler", "default")  # type: ignore[arg-type]
        assert kept
        assert kept["spec"] == theirs["spec"]
    finally:
        api.delete(theirs)


NO_TAINT = {"spec": {"taints": None}}


def test_another_namespaces_clean_up_leaves_them(
    target: ClusterTarget, node: Node, api: Api
) -> None:
    add_gpu_nodes(target, timeout=60)
    restricted_namespace(node.kubeconfig, "attendee-7")
    elsewhere = target_of(node.kubeconfig, "attendee-7")
    assert add_gpu_nodes(elsewhere).startswith("nothing to add: ")
    clean_up(elsewhere)
    assert ours(api) == [f"{INFRASTRUCTURE}-gpu-us-east-2b"]


def test_an_interrupted_wait_is_taken_up(target: ClusterTarget, machine_api: Cloud) -> None:
    machine_api.stalls = True
    with pytest.raises(PartTooSlow) as slow:
        add_gpu_nodes(target, timeout=3)
    assert re.search(r"Machine \S+: Provisioning", slow.value.state)
    assert "oc get machines -n openshift-machine-api" in slow.value.hint
    machine_api.stalls = False
    done = add_gpu_nodes(target, timeout=60)
    assert f"MachineSet {INFRASTRUCTURE}-gpu-us-east-2b reused" in done
    assert len(machine_api.machines()) == 1


def test_a_ready_node_is_not_enough(target: ClusterTarget, machine_api: Cloud) -> None:
    machine_api.driverless, machine_api.policy = True, "notReady"
    with pytest.raises(PartTooSlow) as slow:
        add_gpu_nodes(target, timeout=5)
    assert re.fullmatch(
        r"the node ip-\w+ offers no nvidia\.com/gpu yet, ClusterPolicy: notReady", slow.value.state
    )
    with pytest.raises(CheckFailed, match="no Ready node offers one"):
        verify_gpu_nodes(target)
    machine_api.driverless = False
    wait_for(
        "the GPU", lambda: bool(target.machines.accelerators()) or NotYet("not offered"), timeout=10
    )
    wanted = Machines("g6.4xlarge", labels=LABELS, taint=TAINT)
    with pytest.raises(PartTooSlow) as slow, stages("GPU nodes") as stage:
        target.machines.add(wanted, dry_run=False, timeout=3, stage=stage)
    assert slow.value.state == "ClusterPolicy: notReady"


CAPACITY = (
    "error launching instance: We currently do not have sufficient g6.4xlarge capacity in the "
    "Availability Zone you requested (us-east-2b)."
)


def test_a_zone_without_capacity_fails_at_once_and_names_the_next(
    target: ClusterTarget, machine_api: Cloud, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    machine_api.refuses["us-east-2b"] = {
        "phase": "Failed",
        "errorReason": "InsufficientInstanceCapacity",
        "errorMessage": CAPACITY,
    }
    with pytest.raises(PartFailed) as failed:
        add_gpu_nodes(target, timeout=60)
    assert failed.value.what.startswith("The cloud gave no machine for ")
    assert failed.value.state == f"InsufficientInstanceCapacity: {CAPACITY}"
    assert "g6.4xlarge in us-east-2b" in failed.value.where
    assert failed.value.hint == (
        'set ZONE = "us-east-2c" (or us-east-2a) and run this notebook again'
    )
    done = add_gpu_nodes(target, zone="us-east-2c", timeout=60)
    assert f"MachineSet {INFRASTRUCTURE}-gpu-us-east-2c created" in done
    assert "gpu-us-east-2b, which got no machine" in capsys.readouterr().err
    assert ours(api) == [f"{INFRASTRUCTURE}-gpu-us-east-2c"]


def test_a_failed_machine_is_replaced_when_the_notebook_runs_again(
    target: ClusterTarget, machine_api: Cloud
) -> None:
    machine_api.refuses["us-east-2b"] = {"phase": "Failed", "errorMessage": "no luck"}
    with pytest.raises(PartFailed, match="no luck"):
        add_gpu_nodes(target, timeout=60)
    machine_api.refuses.clear()
    assert "reused" in add_gpu_nodes(target, timeout=60)


def test_a_quota_is_named_though_the_cloud_goes_on_trying(
    target: ClusterTarget, machine_api: Cloud
) -> None:
    said = (
        "error creating EC2 instance: VcpuLimitExceeded: You have requested more vCPU capacity "
        "than your current vCPU limit of 0 allows"
    )
    condition = {
        **{"type": "MachineCreation", "status": "False", "message": said},
        **{"reason": "MachineCreationFailed"},
    }
    machine_api.refuses["us-east-2b"] = {"providerStatus": {"conditions": [condition]}}
    with pytest.raises(PartFailed) as failed:
        add_gpu_nodes(target, timeout=60)
    assert failed.value.state == said
    assert "code L-DB2E81BA" in failed.value.hint
    assert "another zone does not help" in failed.value.hint


def test_what_cannot_be_added_is_said_before_anything_is_made(
    target: ClusterTarget, api: Api, machine_api: Cloud
) -> None:
    with pytest.raises(SettingsError) as wrong:
        add_gpu_nodes(target, zone="eu-west-1a")
    assert str(wrong.value) == (
        "The cluster has no workers in the zone 'eu-west-1a'.\n"
        "  Where: the parameter ZONE\n"
        "  Last state: zones with workers: us-east-2b, us-east-2c, us-east-2a\n"
        '  Hint: set ZONE = "us-east-2b"'
    )
    with pytest.raises(SettingsError, match=r"REPLICAS=0, TIMEOUT_SECONDS=1500"):
        add_gpu_nodes(target, replicas=0)
    for zone in ZONES:
        other = worker(zone)
        other["spec"]["template"]["spec"]["providerSpec"]["value"]["kind"] = (
            "GCPMachineProviderSpec"
        )
        api.apply(other)
    with pytest.raises(SettingsError) as cloudy:
        add_gpu_nodes(target)
    assert cloudy.value.what == "The kit can add machines only on AWS."
    assert "the workers' providerSpec is GCPMachineProviderSpec" in cloudy.value.state
    for zone in ZONES:
        api.delete(worker(zone))
    with pytest.raises(SettingsError, match="There is no worker MachineSet to clone"):
        add_gpu_nodes(target)
    assert ours(api) == []


def test_a_machine_of_another_type_is_not_taken_for_the_wanted_one(
    target: ClusterTarget, machine_api: Cloud
) -> None:
    machine_api.stalls = True
    with pytest.raises(PartTooSlow):
        add_gpu_nodes(target, timeout=2)
    with pytest.raises(SettingsError) as other:
        add_gpu_nodes(target, machine_type="g4dn.xlarge")
    assert other.value.state == "it is a g6.4xlarge, and MACHINE_TYPE is g4dn.xlarge"


def test_only_what_is_missing_is_added(target: ClusterTarget, api: Api) -> None:
    # Not gpu-1: the controller of nodes may still know that one, deleted, as silent for a minute.
    bare = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-2"}, "spec": {}}
    try:
        cloud.offer_gpu(api, api.apply(bare))
        add_gpu_nodes(target, replicas=2, timeout=60)
        assert len(target.machines.accelerators()) == 2
    finally:
        api.delete(bare)


def test_an_operator_that_fails_is_told_in_olms_words(
    target: ClusterTarget, machine_api: Cloud, api: Api
) -> None:
    # The kinds of removed operators stay, and do not count as operators.
    for kind in ("Subscription", "ClusterServiceVersion"):
        for one in api.list("operators.coreos.com/v1alpha1", kind, namespace=None):
            api.delete(one)
    for _, group, version, kind in cloud_kinds.BROUGHT.values():
        for one in api.list(f"{group}/{version}", kind, namespace=None):
            api.delete(one)
    machine_api.broken = "install strategy failed: deadline exceeded"
    with pytest.raises(PartFailed) as failed:
        add_gpu_nodes(target, timeout=60)
    assert failed.value.what == "An operator could not be installed."
    assert failed.value.state == "install strategy failed: deadline exceeded"
    assert "csv -n openshift-nfd" in failed.value.hint
    # No machine was made, and none is paid for.
    assert ours(api) == []
    uninstall(api)


def test_who_may_not_add_machines_is_told_so(
    node: Node, api: Api, machine_api: Cloud, tmp_path: Path
) -> None:
    kubectl(node.kubeconfig, "-n", NAMESPACE, "create", "serviceaccount", "workbench", check=False)
    token = kubectl(node.kubeconfig, "-n", NAMESPACE, "create", "token", "workbench").stdout
    attendee = target_of(as_user(node.kubeconfig, token, tmp_path), NAMESPACE)
    reason = add_gpu_nodes(attendee)
    assert reason.startswith(
        "adding machines is an administrator's step, and this user may not: list, watch nodes; "
        "get, list, create, patch, delete machinesets"
    )
    assert verify_gpu_nodes(attendee).skipped == reason


def as_user(kubeconfig: Path, token: str, folder: Path) -> Path:
    """A kubeconfig with this token in place of the administrator's certificate."""
    content = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    content["users"][0]["user"] = {"token": token.strip()}
    path = folder / "user.kubeconfig"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    path.chmod(0o600)
    return path
