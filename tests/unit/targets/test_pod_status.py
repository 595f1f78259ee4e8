"""What Kubernetes says of pods, as one sentence; the test cluster really makes most of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from workshop.targets.cluster import pod_status
from workshop.targets.cluster.objects import DIGEST
from workshop.targets.cluster.pod_status import Seen


def pod(name: str = "p", **status: Any) -> dict[str, Any]:
    """A pod in this state."""
    return {
        "metadata": {"name": name, "uid": name, "labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
        "status": status,
    }


def unschedulable(message: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "message": message}
    return pod(phase="Pending", conditions=[condition])


def seen(one: dict[str, Any], *events: dict[str, Any], claims: Any = ()) -> Seen:
    return Seen([one], (), claims, events)


def event(reason: str, message: str = "", uid: str = "p") -> dict[str, Any]:
    return {"reason": reason, "message": message, "type": "Warning", "involvedObject": {"uid": uid}}


def test_a_refusal_may_pass_and_is_told_in_its_newest_words() -> None:
    said = 'pods "p-" is forbidden: error looking up service account a/b: not found'
    refused = {"type": "ReplicaFailure", "status": "True", "message": said}
    replica_set = {"metadata": {"uid": "set"}, "status": {"conditions": [refused]}}
    waiting = Seen([], [replica_set], (), ())
    assert pod_status.describe(waiting) == f"no pod yet; {said}"
    found = pod_status.find(waiting)
    assert found
    assert (found.what, found.passing) == ("gets no pod", True)
    now = 'Error creating: pods "p-" is forbidden: exceeded quota: small'
    events = [
        event("FailedCreate", now, "set") | {"lastTimestamp": "2026-11-29T03:00:09Z"},
        event("FailedCreate", said, "set") | {"lastTimestamp": "2026-11-29T03:00:01Z"},
        event("FailedCreate", "of another", "other") | {"lastTimestamp": "2026-11-29T04:00:00Z"},
    ]
    found = pod_status.find(replace(waiting, events=events))
    assert found
    assert (found.what, found.state) == ("does not fit into the namespace's quota", now)


def test_a_probe_that_an_operator_set_cannot_be_changed_in_a_manifest() -> None:
    status = {"name": "c", "image": "i", "state": {"running": {}}, "restartCount": 1}
    killed = event("Killing", "Container c failed startup probe, will be restarted")
    operated = pod(containerStatuses=[status])
    found = pod_status.find(seen(operated, killed))
    assert found
    assert found.what == "is ended by its own probe while it still loads"
    assert found.hint.startswith("its operator ends a server that is not up after 45 seconds")
    operated["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "agent-workshop-kit"
    found = pod_status.find(seen(operated, killed))
    assert found
    assert found.hint.startswith("give its startupProbe more time in the manifest")


def test_a_node_that_the_autoscaler_brings_is_waited_for() -> None:
    waiting = unschedulable("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
    assert pod_status.find(seen(waiting))
    assert pod_status.find(seen(waiting, event("TriggeredScaleUp"))) is None


def test_the_room_of_a_pod_that_is_being_deleted_is_waited_for() -> None:
    waiting = unschedulable("0/1 nodes are available: 1 Insufficient cpu.")
    found = pod_status.find(seen(waiting))
    assert found
    assert found.what == "does not fit on any node"
    old = pod()
    assert pod_status.leaving([waiting, old]) == []
    old["metadata"]["deletionTimestamp"] = "2026-11-29T03:00:00Z"
    there = replace(seen(waiting), leaving=pod_status.leaving([waiting, old]))
    assert pod_status.find(there) is None


def test_a_claim_that_is_being_provisioned_is_waited_for() -> None:
    waiting = unschedulable("pod has unbound immediate PersistentVolumeClaims")
    waiting["spec"]["volumes"] = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    claim = {"metadata": {"name": "data", "uid": "data"}, "status": {"phase": "Pending"}}
    assert pod_status.find(seen(waiting, claims=[claim])) is None
    failed = event("ProvisioningFailed", "no such zone", "data")
    found = pod_status.find(seen(waiting, failed, claims=[claim]))
    assert found
    assert found.what == "waits for its volume data, and nothing provides it"


def test_a_taint_that_nothing_tolerates() -> None:
    message = "0/1 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: }."
    found = pod_status.find(seen(unschedulable(message.replace("nvidia.com/gpu", "team"))))
    assert found
    assert found.what == "is not allowed on any node"


def test_a_first_failed_pull_is_not_the_last_word() -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "timeout"}}
    status = {"name": "c", "image": "i", "state": waiting}
    assert pod_status.find(seen(pod(containerStatuses=[status]))) is None
    status["state"] = {"waiting": {"reason": "ImagePullBackOff"}}
    found = pod_status.find(seen(pod(containerStatuses=[status])))
    assert found
    assert found.state == "i: ImagePullBackOff"


def test_a_node_that_is_slow_to_read_a_secret_is_waited_for() -> None:
    said = "failed to sync secret cache: timed out waiting for the condition"
    waiting = {"reason": "CreateContainerConfigError", "message": said}
    status = {"name": "c", "image": "i", "state": {"waiting": waiting}}
    assert pod_status.find(seen(pod(containerStatuses=[status]))) is None
    waiting["message"] = 'secret "nobody" not found'
    found = pod_status.find(seen(pod(containerStatuses=[status])))
    assert found
    assert found.what == "cannot be started by its node"


def test_an_init_container_counts_too() -> None:
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    status = {"name": "init", "image": "i", "state": waiting, "restartCount": 3}
    status["lastState"] = {"terminated": {"exitCode": 2}}
    found = pod_status.find(seen(pod(initContainerStatuses=[status])))
    assert found
    assert (found.pod, found.container, found.previous) == ("p", "init", True)


def test_pods_of_an_earlier_deployment_do_not_count() -> None:
    old, new, leaving = pod("old"), pod("new"), pod("leaving")
    old["metadata"]["annotations"] = {DIGEST: "1"}
    new["metadata"]["annotations"] = {DIGEST: "2"}
    leaving["metadata"] |= {"annotations": {DIGEST: "2"}, "deletionTimestamp": "now"}
    found = pod_status.current([old, new, leaving], {"app": "a"}, "2")
    assert [one["metadata"]["name"] for one in found] == ["new"]


def test_an_operators_pods_carry_the_digest_as_a_variable() -> None:
    one = pod()
    assert not pod_status.carries(one, "2")
    one["spec"]["containers"][0]["env"] = [{"name": "SETTINGS", "value": "2"}]
    assert pod_status.carries(one, "2")


def test_a_ready_pod_is_described_without_its_past() -> None:
    running = {"name": "c", "image": "i", "state": {"running": {}}, "ready": True}
    ready = [{"type": "Ready", "status": "True"}]
    past = event("Unhealthy", "Startup probe failed")
    shown = pod_status.describe(seen(pod(containerStatuses=[running], conditions=ready), past))
    assert shown == "pod p c: ready"
    shown = pod_status.describe(seen(pod(containerStatuses=[running | {"ready": False}]), past))
    assert shown == "pod p c: running, not ready yet (Unhealthy: Startup probe failed)"
