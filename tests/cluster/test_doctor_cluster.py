"""The doctor on a cluster: each trouble is really made there, and the cause named with its hint.

The parts are small servers under a part's labels. What the table in
docs/troubleshooting.md says of the cluster is what stands here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import small
import yaml
from testcluster import cloud_kinds, limited_registry
from testcluster.kubectl import apply, kubectl, restricted_namespace, wait_for_crds
from testcluster.node import Node
from testcluster.place import Place
from workshop.cli import main
from workshop.core.wait import NotYet, wait_for
from workshop.parts.catalog import ALL
from workshop.targets.base import Part
from workshop.targets.cluster.endpoints import Location
from workshop.targets.cluster.login import connect
from workshop.targets.cluster.network import built
from workshop.targets.cluster.store import fact
from workshop.targets.cluster.target import ClusterTarget
from workshop.targets.network import Shape

pytestmark = pytest.mark.timeout(600)

Object = dict[str, Any]

MISSING = "localhost:1/missing:1"
"""An image of a registry that nobody serves; it is not waited for, as one without a name is."""


@pytest.fixture(scope="module", autouse=True)
def image(node: Node, place: Place) -> None:
    small.add_image(place)


class Sick:
    """A namespace in which something is wrong, and the doctor who is called to it."""

    def __init__(self, node: Node, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.node, self.name = node, name
        self._capsys = capsys
        restricted_namespace(node.kubeconfig, name)

    @property
    def target(self) -> ClusterTarget:
        return ClusterTarget(connect(), ALL)

    def put(self, *things: Object) -> None:
        apply(self.node.kubeconfig, *things, namespace=self.name)

    def kubectl(self, *words: str) -> str:
        return kubectl(self.node.kubeconfig, "-n", self.name, *words).stdout

    def status(self, kind: str, name: str, status: Object) -> None:
        """Say this as whoever writes an object's status."""
        patch = json.dumps({"status": status})
        words = ("patch", kind, name, "--subresource=status", "--type=merge", "-p", patch)
        self.kubectl(*words)

    def rolled_out(self, *names: str) -> None:
        for name in names:
            self.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")

    def shows(self, words: str) -> None:
        """Wait until the cluster itself knows of the trouble: a kubelet takes its seconds."""

        def known() -> object:
            seen = " ".join(f"{one.what} {one.state}" for one in self.target.problems())
            return True if words in seen else NotYet(seen)

        wait_for(f"the cluster to say {words!r}", known, timeout=90, every=0.5)

    def doctor(self, after: str = "") -> tuple[str, list[tuple[str, str]]]:
        """All that it shows, and each cause's line with its hint's."""
        if after:
            self.shows(after)
        self._capsys.readouterr()
        code = main(["doctor", "--target", "cluster"])
        shown = self._capsys.readouterr().out
        lines = shown.splitlines()
        named = [
            (line.removeprefix("cause: "), hint)
            for line, hint in pairwise(lines)
            if line.startswith("cause: ")
        ]
        assert code == (1 if named else 0), shown
        return shown, named

    def only(self, after: str = "") -> tuple[str, str]:
        """The only cause that it names, with its hint."""
        shown, named = self.doctor(after)
        assert len(named) == 1, shown
        return named[0]


@pytest.fixture
def sick(
    node: Node,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Sick]:
    """A namespace of the test's own; it goes while the next test runs."""
    words = re.findall(r"[a-z]+", request.node.name.removeprefix("test_"))
    name = "-".join(["doctor", *words])[:60].rstrip("-")
    monkeypatch.setenv("KUBECONFIG", str(node.kubeconfig))
    monkeypatch.setenv("WORKSHOP_NAMESPACE", name)
    yield Sick(node, name, capsys)
    kubectl(node.kubeconfig, "delete", "namespace", name, "--wait=false")


def server(
    part: str, app: str, bend: Callable[[list[Object]], object] = lambda _: None
) -> list[Object]:
    """A Deployment and a Service of this part, whose pods carry this label."""
    made = small.built(Part(part, 8080))
    for one in made:
        one["metadata"]["name"] = app
        one["metadata"]["labels"]["app"] = app
    deployment, service = made
    template = deployment["spec"]["template"]
    template["metadata"]["labels"] = template["metadata"]["labels"] | {"app": app}
    deployment["spec"]["selector"]["matchLabels"] = {"app": app}
    service["spec"]["selector"] = {"app": app}
    bend(made)
    return made


def container(made: list[Object]) -> Object:
    found: Object = made[0]["spec"]["template"]["spec"]["containers"][0]
    return found


def test_all_is_well(sick: Sick) -> None:
    sick.put(*server("embedder", "embedder"))
    sick.rolled_out("embedder")
    shown, named = sick.doctor()
    assert named == []
    assert "no problem found" in shown


def test_an_image_that_is_not_there(sick: Sick) -> None:
    sick.put(*server("mongodb", "mongodb", lambda made: container(made).update(image=MISSING)))
    blamed, hint = sick.only("cannot pull its image")
    assert blamed.startswith(f"mongodb: mongodb cannot pull its image. {MISSING}: ")
    assert "mirror the image" in hint


def test_a_registry_that_limits_pulls(sick: Sick, place: Place) -> None:
    place.start_python("registry", "testcluster.limited_registry", kubeconfig=sick.node.kubeconfig)
    at = f"localhost:{limited_registry.PORT}/library/mongo:8"
    try:
        sick.put(*server("mongodb", "mongodb", lambda made: container(made).update(image=at)))
        blamed, hint = sick.only("cannot pull its image")
    finally:
        place.process("registry").stop(grace=5)
    assert "mongodb cannot pull its image" in blamed
    assert "429 Too Many Requests" in blamed
    assert "the registry limits anonymous pulls" in hint


def test_a_part_that_ends_again_and_again_with_what_its_log_says(sick: Sick) -> None:
    sick.put(*server("model", "model-predictor", small.setting("END_WITH", "7")))
    blamed, hint = sick.only("ends again and again")
    assert blamed.startswith("model: model ends again and again")
    assert blamed.endswith("the disk is on fire")
    assert "kubectl logs model-predictor-" in hint


def test_a_part_that_needs_more_memory(sick: Sick) -> None:
    sick.put(*server("model", "model-predictor", small.setting("EAT", "1")))
    blamed, hint = sick.only("used more memory")
    assert "more memory than its limit of 64Mi" in blamed
    assert "raise the memory limit" in hint


@pytest.mark.parametrize(
    ("part", "app", "folder"),
    [
        ("model", "model-predictor", "/.cache/huggingface"),
        ("mongodb", "mongodb", "/data/db"),
    ],
)
def test_an_image_that_wants_to_write_as_root(sick: Sick, part: str, app: str, folder: str) -> None:
    def bend(made: list[Object]) -> None:
        small.setting("WRITE_TO", folder)(made)
        # As an image of root's is: its root file system is not protected, only not the user's.
        container(made)["securityContext"]["readOnlyRootFilesystem"] = part == "model"

    sick.put(*server(part, app, bend))
    blamed, hint = sick.only("ends again and again")
    assert blamed.startswith(f"{part}: it may not write to its folder: ")
    said = "read-only file system" if part == "model" else "permission denied"
    assert blamed.endswith(said)
    assert "mount an emptyDir or a claim there" in hint
    assert "anyuid is not needed" in hint


def test_a_pod_that_asks_for_more_than_the_namespace_gives(sick: Sick) -> None:
    def bend(made: list[Object]) -> None:
        container(made)["securityContext"].update(runAsUser=0, runAsNonRoot=False)

    sick.put(*server("mongodb", "mongodb", bend))
    blamed, hint = sick.only("is not admitted")
    assert "its pod asks for rights that this namespace does not give" in blamed
    assert "use the kit's manifests unchanged" in hint


def with_claim(access: str, name: str = "", **more: object) -> Callable[[list[Object]], None]:
    """Mount a claim."""

    def bend(made: list[Object]) -> None:
        spec = {"accessModes": [access], "resources": {"requests": {"storage": "1Gi"}}}
        if name:
            spec["storageClassName"] = name
        meta = {"name": "data", "labels": made[0]["metadata"]["labels"]}
        kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        made.append(kind | {"metadata": meta, "spec": spec})
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
        made[0]["spec"]["template"]["spec"]["volumes"] = [volume]
        made[0]["spec"].update(more)

    return bend


def test_a_volume_that_nothing_provides(sick: Sick) -> None:
    sick.put(*server("mongodb", "mongodb", with_claim("ReadWriteOnce", "gp3-csi")))
    blamed, hint = sick.only("nothing provides it")
    assert 'storageclass.storage.k8s.io "gp3-csi" not found' in blamed
    assert "STORAGE_CLASS" in hint


def test_a_volume_of_one_pod_with_two_replicas(sick: Sick) -> None:
    sick.put(*server("mongodb", "mongodb", with_claim("ReadWriteOnce", replicas=2)))
    sick.rolled_out("mongodb")
    blamed, hint = sick.only("can have only one")
    assert blamed == (
        "mongodb: mongodb has 2 replicas, and can have only one. the volume data is ReadWriteOnce"
    )
    assert hint.startswith("  Hint: kubectl scale deployment mongodb --replicas=1; 10_scale_out")


def test_a_rollout_that_waits_for_the_volume_of_its_own_pod(sick: Sick) -> None:
    sick.put(*server("mongodb", "mongodb", small.setting("LOAD_FOR", "600")))
    pods = ("get", "pods", "-l", "app=mongodb", "-o")
    wait_for(
        "the pod", lambda: sick.kubectl(*pods, "name") or NotYet("none"), timeout=30, every=0.2
    )
    # One node shares it among its pods: what the attacher of two nodes says is simulated.
    (pod,) = json.loads(sick.kubectl(*pods, "json"))["items"]
    sick.put(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "multi-attach"},
            "involvedObject": {"kind": "Pod", "namespace": sick.name, **named_in(pod)},
            "reason": "FailedAttachVolume",
            "type": "Warning",
            "message": 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) a',
        }
    )
    blamed, hint = sick.only("waits for a volume")
    assert "mongodb waits for a volume that its other pod holds. Multi-Attach error" in blamed
    assert '"Recreate"' in hint


def named_in(thing: Object) -> Object:
    return {key: thing["metadata"][key] for key in ("name", "uid")}


CONFIG = """
providers:
  vector_io:
    - provider_id: milvus
      provider_type: inline::milvus
"""


def test_milvus_inside_two_replicas(sick: Sick) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "llama-stack-config"}}
    stack = server("llama-stack", "llama-stack", lambda made: made[0]["spec"].update(replicas=2))
    sick.put(*stack, config | {"data": {"config.yaml": CONFIG}})
    sick.rolled_out("llama-stack")
    blamed, hint = sick.only("can have only one")
    assert "llama-stack has 2 replicas" in blamed
    assert "inline::milvus keeps its vectors in one pod" in blamed
    assert "10_scale_out gives it storage that replicas share" in hint


def test_mcp_sessions_that_another_replica_does_not_know(sick: Sick) -> None:
    app = "mongodb-mcp-server"
    made = server("mcp-server", app, lambda made: made[0]["spec"].update(replicas=2))
    sick.put(*made)
    sick.rolled_out(app)
    blamed, hint = sick.only()
    assert blamed.startswith("mcp-server: mcp-server has 2 replicas, and its Service sends")
    assert "session not found" in blamed
    assert hint.startswith("  Hint: run 05_deploy_mcp_server again")
    sick.kubectl("patch", "service", app, "-p", '{"spec": {"sessionAffinity": "ClientIP"}}')
    assert sick.doctor()[1] == []


def closed(*others: Object) -> list[Object]:
    """Nobody to anybody, but for names and for these policies."""
    both = ["Ingress", "Egress"]
    names = {"ports": [{"port": 53, "protocol": "UDP"}], "to": [{"namespaceSelector": {}}]}
    dns = policy("names", {}, egress=[names], policyTypes=["Egress"])
    return [policy("deny", {}, policyTypes=both), dns, *others]


def policy(name: str, selects: dict[str, str], **spec: object) -> Object:
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    selector = {"podSelector": {"matchLabels": selects}}
    return kind | {"metadata": {"name": name}, "spec": selector | spec}


def to(app: str) -> dict[str, list[Object]]:
    return {"to": [{"podSelector": {"matchLabels": {"app": app}}}]}


def test_policies_for_the_labels_of_another_generation(sick: Sick) -> None:
    ogx = server("llama-stack", "ogx")
    sick.put(*ogx, *server("mcp-server", "mongodb-mcp-server"))
    sick.put(
        *closed(
            policy("stack", {"app": "llama-stack"}, egress=[to("mongodb-mcp-server")]),
            policy("tools", {"app": "mongodb-mcp-server"}, ingress=[{}]),
        )
    )
    sick.rolled_out("ogx", "mongodb-mcp-server")
    blamed, hint = sick.only("closed by NetworkPolicies")
    assert blamed.startswith(
        "network: 1 of the connections that parts need are closed by NetworkPolicies. "
    )
    assert "llama-stack to mcp-server:3000: egress closed by deny, names" in blamed
    assert "stack selects app=llama-stack, and the pod has app=ogx" in blamed
    assert hint.startswith("  Hint: run 08_secure_the_network again")
    sick.put(policy("stack", {"app": "ogx"}, egress=[to("mongodb-mcp-server")]))
    assert sick.doctor()[1] == []


def test_the_kits_own_policies_shut_nothing_that_parts_need(sick: Sick) -> None:
    apps = {
        "model-predictor": "model",
        "embedder": "embedder",
        "llama-stack": "llama-stack",
        "mongodb": "mongodb",
        "mongodb-exporter": "mongodb",
        "mongodb-mcp-server": "mcp-server",
        "collector": "collector",
        "prometheus": "prometheus",
    }
    for app, part in apps.items():
        sick.put(*server(part, app))
    sick.put(*built(Shape()))
    sick.rolled_out(*apps)
    _, named = sick.doctor()
    assert named == []


def test_a_policy_that_cuts_the_tools_off_from_the_database(sick: Sick) -> None:
    app = "mongodb-mcp-server"
    sick.put(*server("mongodb", "mongodb"), *server("mcp-server", app))
    ports = {"ports": [{"port": 27018}], **to("mongodb")}
    sick.put(
        *closed(
            policy("tools", {"app": app}, egress=[ports]),
            policy("database", {"app": "mongodb"}, ingress=[{}]),
        )
    )
    sick.rolled_out("mongodb", app)
    blamed, _ = sick.only("closed by NetworkPolicies")
    assert "mcp-server to mongodb:27017: egress closed by deny, names, tools" in blamed


def test_a_namespace_that_is_closed_to_names_too(sick: Sick) -> None:
    sick.put(*server("mongodb", "mongodb"))
    sick.put(policy("deny", {}, policyTypes=["Egress"]))
    sick.rolled_out("mongodb")
    blamed, hint = sick.only("closed by NetworkPolicies")
    assert "mongodb to DNS: egress closed by deny" in blamed
    assert "kubectl describe networkpolicy deny" in hint


def test_a_part_that_runs_and_is_not_what_it_should_be(sick: Sick) -> None:
    app = "model-predictor"
    sick.put(*server("model", app))
    sick.rolled_out(app)
    # As notebook 02 keeps it. What answers is the small server, which is no model.
    location = Location(deployment=app, pods={"app": app}, service=app, port=8080)
    sick.target.store.remember(fact("model"), location.text())
    shown, named = sick.doctor()
    assert f"model  running  http://{app}.{sick.name}.svc:8080" in shown
    ((blamed, hint),) = named
    assert blamed.startswith("model: Model: ")
    assert "This is not an OpenAI-compatible endpoint." in blamed
    assert "no login page may come before it" in hint


def test_a_service_that_leads_to_no_pod(sick: Sick) -> None:
    def bend(made: list[Object]) -> None:
        made[1]["spec"]["selector"] = {"app": "llama-stack"}

    sick.put(*server("llama-stack", "ogx", bend))
    sick.rolled_out("ogx")
    blamed, hint = sick.only("leads to no pod")
    assert "it selects app=llama-stack, and the part's pods have app=ogx" in blamed
    assert "run 03_deploy_llama_stack again" in hint


def test_what_fails_for_want_of_another_part_is_not_blamed(sick: Sick) -> None:
    sick.put(
        *server("model", "model-predictor", lambda made: container(made).update(image=MISSING)),
        *server("llama-stack", "llama-stack", small.setting("END_WITH", "7")),
    )
    sick.shows("llama-stack ends again and again")
    shown, named = sick.doctor("model cannot pull its image")
    assert [blamed.split(":")[0] for blamed, _ in named] == ["model"]
    assert "[FAIL] llama-stack: because of model" in shown


@contextmanager
def kinds(node: Node, *crds: Object) -> Iterator[None]:
    """Kinds that this cluster does not have; they are gone after the test."""
    apply(node.kubeconfig, *crds)
    wait_for_crds(node.kubeconfig)
    try:
        yield
    finally:
        kubectl(node.kubeconfig, "delete", "crd", *(crd["metadata"]["name"] for crd in crds))


@pytest.fixture
def routed(sick: Sick) -> Iterator[Sick]:
    """A part with a Route; there is no router, and what one says is simulated."""
    crd = cloud_kinds.open_crd("routes", "route.openshift.io", "v1", "Route", "Namespaced")
    with kinds(sick.node, crd):
        sick.put(*server("llama-stack", "llama-stack"), route({}))
        sick.rolled_out("llama-stack")
        yield sick


def route(annotations: dict[str, str]) -> Object:
    kind = {"apiVersion": "route.openshift.io/v1", "kind": "Route"}
    meta = {"name": "llama-stack", "annotations": annotations}
    return kind | {"metadata": meta, "spec": {"to": {"kind": "Service", "name": "llama-stack"}}}


def admission(status: str, reason: str = "", message: str = "") -> Object:
    condition = {"type": "Admitted", "status": status, "reason": reason, "message": message}
    return {"ingress": [{"host": "stack.example.com", "conditions": [condition]}]}


def test_a_route_that_is_not_admitted_or_refused_or_too_quick(routed: Sick) -> None:
    blamed, hint = routed.only("No router has admitted")
    assert "llama-stack: No router has admitted the Route llama-stack." in blamed
    assert "kubectl describe route llama-stack" in hint
    claimed = "route other already exposes stack.example.com"
    routed.status("route", "llama-stack", admission("False", "HostAlreadyClaimed", claimed))
    blamed, hint = routed.only()
    assert f"has a Route that was refused. HostAlreadyClaimed: {claimed}" in blamed
    assert "another Route may have its host" in hint
    routed.status("route", "llama-stack", admission("True"))
    blamed, hint = routed.only()
    assert blamed == (
        "llama-stack: The Route llama-stack ends an answer after 30 s. a longer answer ends in "
        "504 Gateway Timeout"
    )
    assert "haproxy.router.openshift.io/timeout=300s" in hint
    routed.put(route({"haproxy.router.openshift.io/timeout": "5m"}))
    assert routed.doctor()[1] == []


OPERATED = cloud_kinds.open_crd(
    "llamastackdistributions", "llamastack.io", "v1alpha1", "LlamaStackDistribution", "Namespaced"
)
RENAMED = cloud_kinds.open_crd("ogxservers", "ogx.io", "v1beta1", "OGXServer", "Namespaced")


def test_an_operator_that_is_not_there(sick: Sick) -> None:
    labels = small.built(Part("llama-stack", 8321))[0]["metadata"]["labels"]
    stack = {"apiVersion": "llamastack.io/v1alpha1", "kind": "LlamaStackDistribution"}
    with kinds(sick.node, OPERATED):
        sick.put(stack | {"metadata": {"name": "llama-stack", "labels": labels}, "spec": {}})
        blamed, hint = sick.only("has done nothing")
        assert "The operator has done nothing with the LlamaStackDistribution" in blamed
        assert "the operator has not looked at the LlamaStackDistribution yet" in blamed
        assert "the operator must run, and watch this namespace" in hint
        failed = {"type": "DeploymentReady", "status": "False", "message": "ConfigMap x not found"}
        status = {"phase": "Failed", "conditions": [failed]}
        sick.status("llamastackdistribution", "llama-stack", status)
        blamed, hint = sick.only()
        assert "was given up by its operator. DeploymentReady: ConfigMap x not found" in blamed
        assert "kubectl describe LlamaStackDistribution llama-stack" in hint


def test_an_operator_that_was_replaced_by_its_successor(sick: Sick) -> None:
    with small.target(sick.node, sick.name) as target:
        small.ensure(target)
        way = target.store.recall("part mongodb")
        target.stop()
        target.store.remember("part llama-stack", way)
        target.store.remember("server", "llama-stack")
    with kinds(sick.node, RENAMED):
        blamed, hint = sick.only("was deployed, and its")
    assert "llama-stack was deployed, and its LlamaStackDistribution is gone." in blamed
    assert "the cluster knows only OGXServer" in blamed
    assert 'run 03_deploy_llama_stack again, with SERVER = "auto"' in hint
    # Without any operator it was removed by hand.
    blamed, hint = sick.only()
    assert "its workload is gone. its Deployment was removed" in blamed
    assert hint == "  Hint: run 03_deploy_llama_stack again"


def test_an_inference_service_that_says_ready_while_its_container_ends(sick: Sick) -> None:
    crd = ("inferenceservices", "serving.kserve.io", "v1beta1", "InferenceService", "Namespaced")
    made = server("model", "isvc.model-predictor", small.setting("END_WITH", "7"))
    for one in made:
        one["metadata"]["name"] = "model-predictor"
        # As KServe makes them: without the kit's labels.
        one["metadata"]["labels"] = {}
    labels = small.built(Part("model", 8080))[0]["metadata"]["labels"]
    service = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService"}
    with kinds(sick.node, cloud_kinds.open_crd(*crd)):
        sick.put(service | {"metadata": {"name": "model", "labels": labels}, "spec": {}}, *made)
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        sick.status("inferenceservice", "model", ready)
        blamed, _ = sick.only("ends again and again")
    assert "model ends again and again" in blamed
    assert "its InferenceService says Ready all the same" in blamed


def wants_gpu(made: list[Object]) -> None:
    for resources in container(made)["resources"].values():
        resources["nvidia.com/gpu"] = "1"


@contextmanager
def gpu_node(node: Node, taints: list[Object], **offers: str) -> Iterator[None]:
    """A node that only is in the API: with a GPU's labels, Ready for a moment."""
    name, labels = "gpu-1", {"nvidia.com/gpu.present": "true"}
    meta = {"name": name, "labels": labels}
    kind = {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": {"taints": taints}}
    room = {"cpu": "8", "memory": "32Gi", "pods": "110"} | {
        f"nvidia.com/{key}": value for key, value in offers.items()
    }
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    status = {"conditions": [ready], "allocatable": room, "capacity": room}
    apply(node.kubeconfig, kind)
    try:
        words = ("patch", "node", name, "--subresource=status", "--type=merge", "-p")
        kubectl(node.kubeconfig, *words, json.dumps({"status": status}))
        yield
    finally:
        kubectl(node.kubeconfig, "delete", "node", name)


def test_no_node_has_a_gpu_or_it_is_tainted_or_does_not_offer_it(sick: Sick) -> None:
    sick.put(*server("model", "model-predictor", wants_gpu))
    blamed, hint = sick.only("waits for a GPU")
    assert "model waits for a GPU, and no node has one free." in blamed
    assert "run 01_add_gpu_nodes" in hint
    with gpu_node(sick.node, [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}], gpu="1"):
        blamed, hint = sick.only("does not tolerate")
        assert "model waits for a GPU, and does not tolerate the taint of gpu-1." in blamed
        assert "taint gpu:NoSchedule" in blamed
        assert "nvidia.com/gpu:NoSchedule, which the kit's model and the GPU operator" in hint
    with gpu_node(sick.node, [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]):
        shown, named = sick.doctor("offers no nvidia.com/gpu")
        ((blamed, hint),) = named
        assert blamed.startswith("gpu-nodes: The node gpu-1 is Ready, and offers no nvidia.com/gpu")
        assert "up to 15 minutes later" in hint
        assert "[FAIL] model: because of gpu-nodes" in shown


SPACE = "openshift-machine-api"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("InsufficientInstanceCapacity: no g6.4xlarge in us-east-2a", 'ZONE = "us-east-2b"'),
        ("VcpuLimitExceeded: you have requested more vCPU capacity", "code L-DB2E81BA"),
    ],
)
def test_a_machine_that_the_cloud_does_not_give(sick: Sick, said: str, remedy: str) -> None:
    api_version = "machine.openshift.io/v1beta1"
    crds = [
        cloud_kinds.open_crd(f"{kind.lower()}s", *api_version.split("/"), kind, "Namespaced")
        for kind in ("MachineSet", "Machine")
    ]
    labels = {"app.kubernetes.io/managed-by": "agent-workshop-kit"}
    ours = machine_set("gpu", "us-east-2a", labels | {"agent-workshop-kit/namespace": sick.name})
    member = {"machine.openshift.io/cluster-api-machineset": "gpu"}
    machine = {
        **{"apiVersion": api_version, "kind": "Machine"},
        "metadata": {"name": "gpu-x", "namespace": SPACE, "labels": member},
        "spec": ours["spec"]["template"]["spec"],
    }
    status = {"status": {"phase": "Failed", "errorReason": "CreateError", "errorMessage": said}}
    with kinds(sick.node, *crds):
        apply(
            sick.node.kubeconfig,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
        )
        apply(sick.node.kubeconfig, ours, machine_set("w", "us-east-2b", {}), machine)
        words = ("-n", SPACE, "patch", "machine", "gpu-x", "--subresource=status", "--type=merge")
        kubectl(sick.node.kubeconfig, *words, "-p", json.dumps(status))
        sick.put(*server("model", "model-predictor", wants_gpu))
        shown, named = sick.doctor("waits for a GPU")
    ((blamed, hint),) = named
    assert blamed.startswith("gpu-nodes: The cloud gave no machine for gpu-x. CreateError: ")
    assert said in blamed
    assert remedy in hint
    assert "[FAIL] model: because of gpu-nodes" in shown


def machine_set(name: str, zone: str, labels: dict[str, str]) -> Object:
    placed = {"instanceType": "g6.4xlarge", "placement": {"availabilityZone": zone}}
    return {
        **{"apiVersion": "machine.openshift.io/v1beta1", "kind": "MachineSet"},
        "metadata": {"name": name, "namespace": SPACE, "labels": labels},
        "spec": {"template": {"spec": {"providerSpec": {"value": placed}}}},
    }


@pytest.fixture
def account(sick: Sick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Gives what logs in with a token in place of the administrator's certificate."""

    def log_in(token: str) -> None:
        config = yaml.safe_load(sick.node.kubeconfig.read_text("utf-8"))
        config["users"][0]["user"] = {"token": token}
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config), "utf-8")
        monkeypatch.setenv("KUBECONFIG", str(path))

    return log_in


def test_a_workbench_that_may_do_nothing(sick: Sick, account: Callable[[str], None]) -> None:
    workbench = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "workshop"}}
    sick.put(workbench, *server("mongodb", "mongodb"))
    account(sick.kubectl("create", "token", "workshop").strip())
    blamed, hint = sick.only()
    user = f"system:serviceaccount:{sick.name}:workshop"
    assert blamed.startswith(f"permissions: {user} may not do all that the notebooks need.")
    assert "create, patch, delete services" in blamed
    assert "an administrator of the namespace runs kubectl create rolebinding" in hint
    assert f"--serviceaccount={sick.name}:workshop" in hint


def test_a_workbench_that_may_only_look(sick: Sick, account: Callable[[str], None]) -> None:
    workbench = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "workshop"}}
    sick.put(workbench)
    sick.put(*server("mongodb", "mongodb", small.setting("END_WITH", "7")))
    words = ("create", "rolebinding", "looks", "--clusterrole=view")
    sick.kubectl(*words, f"--serviceaccount={sick.name}:workshop")
    sick.shows("ends again and again")
    account(sick.kubectl("create", "token", "workshop").strip())
    _, named = sick.doctor()
    # It sees what is wrong besides, and the log that says why.
    assert [blamed.split(":")[0] for blamed, _ in named] == ["permissions", "mongodb"]
    assert named[1][0].endswith("the disk is on fire")


def test_a_login_that_is_not_valid(sick: Sick, account: Callable[[str], None]) -> None:
    account("of-yesterday")
    blamed, hint = sick.only()
    assert blamed.startswith("cluster: The cluster refused to ")
    assert "the login is not valid, or has expired" in blamed
    assert "oc login" in hint


def test_a_cluster_that_does_not_answer(
    sick: Sick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workshop.targets.cluster import api

    config = yaml.safe_load(sick.node.kubeconfig.read_text("utf-8"))
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config), "utf-8")
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr(api, "PATIENCE", 1.0)
    blamed, hint = sick.only()
    assert blamed.startswith("cluster: Waited 1 s for the API server")
    assert hint.startswith("  Hint: ")
