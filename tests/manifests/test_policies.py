"""Every kustomization under ``manifests/`` keeps the kit's rules, and each rule can be broken."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from policies import RULES, Object, Seen, problems
from workshop.parts.catalog import ALL
from workshop.room.objects import OWN, SHARED
from workshop.targets.cluster import objects
from workshop.targets.cluster.network.probes import Probe, pod_of

MANIFESTS = objects.MANIFESTS
CREDENTIALS = ("password", "token", "secret", "key")


def kustomizations() -> list[Path]:
    found = []
    for path in sorted(MANIFESTS.rglob("kustomization.yaml")):
        if yaml.safe_load(path.read_text(encoding="utf-8")).get("kind") == "Kustomization":
            found.append(path.parent.relative_to(MANIFESTS))
    return found


FOLDERS = kustomizations()


def seen_in(folder: Path) -> list[Seen]:
    return [Seen(folder, thing) for thing in objects.build(MANIFESTS / folder)]


def test_there_is_something_to_look_at() -> None:
    assert len(FOLDERS) >= 12
    assert {folder.parts[0] for folder in FOLDERS} >= {"model", "llama-stack", "mongodb"}
    everything = [seen for folder in FOLDERS for seen in seen_in(folder)]
    assert sum(seen.pod() is not None for seen in everything) >= 10


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_every_object_keeps_the_rules(folder: Path) -> None:
    found = [said for seen in seen_in(folder) for said in problems(seen)]
    assert found == []


def test_no_file_holds_a_credential() -> None:
    """Also those that no kustomization names."""
    for path in MANIFESTS.rglob("*.yaml"):
        for thing in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if isinstance(thing, dict) and thing.get("kind") == "Secret":
                assert not thing.get("data"), path
                assert not thing.get("stringData"), path
    for folder in FOLDERS:
        for seen in seen_in(folder):
            for one in seen.containers():
                for variable in one.get("env") or []:
                    guarded = any(word in variable["name"].lower() for word in CREDENTIALS)
                    allowed = variable["name"].endswith("_FILE") or "valueFrom" in variable
                    assert not guarded or allowed, (seen.where, variable["name"])


# --- each rule, broken on purpose -----------------------------------------------------------------

GOOD: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "good", "labels": objects.labels("good")},
    "spec": {
        "template": {
            "spec": {
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "main",
                        "image": "registry.example.com:5000/team/good:1.2.3",
                        "readinessProbe": {},
                        "livenessProbe": {},
                        "resources": {
                            "requests": {"cpu": "1", "memory": "1Gi"},
                            "limits": {"cpu": "1", "memory": "1Gi"},
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            }
        }
    },
}

POD = ("spec", "template", "spec")
MAIN = (*POD, "containers", 0)
OWN_CONTEXT = (*MAIN, "securityContext")


def put(*path: str | int, value: Any) -> Callable[[Object], None]:
    def change(thing: Object) -> None:
        at: Any = thing
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return change


def drop(*path: str | int) -> Callable[[Object], None]:
    def change(thing: Object) -> None:
        at: Any = thing
        for key in path[:-1]:
            at = at[key]
        del at[path[-1]]

    return change


BROKEN = [
    (put(*MAIN, "image", value="registry.example.com:5000/team/good"), "is not pinned by a tag"),
    (put(*MAIN, "image", value=""), "is not pinned by a tag"),
    (put(*MAIN, "image", value="team/good:latest"), "is another one every week"),
    (drop(*MAIN, "resources"), "main has no requests for cpu, memory"),
    (drop(*MAIN, "resources", "limits", "memory"), "main has no limits for memory"),
    (drop(*MAIN, "readinessProbe"), "main has no readinessProbe"),
    (drop(*MAIN, "livenessProbe"), "main has no livenessProbe"),
    (drop(*POD, "securityContext", "runAsNonRoot"), "main may run as root"),
    (put(*OWN_CONTEXT, "runAsNonRoot", value=False), "main may run as root"),
    (drop(*POD, "securityContext", "seccompProfile"), "main has no seccomp profile"),
    (drop(*OWN_CONTEXT, "allowPrivilegeEscalation"), "main may escalate its privileges"),
    (put(*OWN_CONTEXT, "capabilities", value={"drop": ["NET_RAW"]}), "main keeps capabilities"),
    (
        put(*OWN_CONTEXT, "capabilities", value={"drop": ["ALL"], "add": ["CHOWN"]}),
        "main gets more rights",
    ),
    (put(*OWN_CONTEXT, "privileged", value=True), "main gets more rights"),
    (drop(*OWN_CONTEXT, "readOnlyRootFilesystem"), "main may write its root file system"),
    (put(*POD, "securityContext", "runAsUser", value=999), "runAsUser is fixed, which restricted"),
    (put(*POD, "securityContext", "fsGroup", value=999), "fsGroup is fixed, which restricted"),
    (put(*OWN_CONTEXT, "runAsUser", value=999), "runAsUser is fixed, which restricted"),
    (drop("metadata", "labels"), "it has no label app.kubernetes.io/name"),
    (
        drop("metadata", "labels", "app.kubernetes.io/managed-by"),
        "it has no label app.kubernetes.io/managed-by",
    ),
    (put(*POD, "hostNetwork", value=True), "it uses the node's own: hostNetwork"),
    (
        put(*POD, "volumes", value=[{"name": "logs", "hostPath": {"path": "/var/log"}}]),
        "the volume logs is a folder of the node",
    ),
    (put(*MAIN, "ports", value=[{"hostPort": 80}]), "main takes a port of the node"),
    (drop(*POD, "automountServiceAccountToken"), "its pod gets a token for the API server"),
    (
        put(*POD, "initContainers", value=[{"name": "first", "image": "good"}]),
        "first may run as root",
    ),
]


def broken(change: Callable[[Object], None], base: Object = GOOD) -> list[str]:
    thing = copy.deepcopy(base)
    change(thing)
    return problems(Seen(Path("broken"), thing))


def test_an_object_that_keeps_all_rules_has_no_problem() -> None:
    assert problems(Seen(Path("good"), GOOD)) == []


@pytest.mark.parametrize(("change", "said"), BROKEN[:-1], ids=[said for _, said in BROKEN[:-1]])
def test_a_deployment_that_breaks_a_rule_is_noticed(
    change: Callable[[Object], None], said: str
) -> None:
    found = broken(change)
    assert any(said in one for one in found), found
    assert all(one.startswith("broken: Deployment good: ") for one in found)


def test_an_init_container_is_no_way_round() -> None:
    change = put(
        *POD,
        "initContainers",
        value=[{"name": "first", "image": "team/good", "securityContext": {"runAsNonRoot": False}}],
    )
    found = " ".join(broken(change))
    for said in ("not pinned", "first may run as root", "first has no limits", "keeps capab"):
        assert said in found


def custom(kind: str, spec: Object) -> Object:
    return {"kind": kind, "metadata": GOOD["metadata"], "spec": spec}


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (custom("InferenceService", {"predictor": {"model": {}}}), "model has no limits for cpu"),
        (
            custom(
                "InferenceService",
                {"predictor": {"model": {"storageUri": "oci://quay.io/models/granite"}}},
            ),
            "'quay.io/models/granite' is not pinned",
        ),
        (
            custom("ServingRuntime", {"containers": [{"name": "vllm", "image": "vllm:latest"}]}),
            "is another one every week",
        ),
        (
            custom("ServingRuntime", {"containers": [{"name": "vllm", "image": "vllm:1"}]}),
            "vllm keeps capabilities",
        ),
        (
            custom("LlamaStackDistribution", {"server": {"distribution": {"image": "ls"}}}),
            "the image 'ls' is not pinned",
        ),
        (
            custom("LlamaStackDistribution", {"server": {"distribution": {"name": "rh-dev"}}}),
            "server has no requests for cpu, memory",
        ),
        (
            custom("OGXServer", {"distribution": {"image": "ogx:latest"}}),
            "is another one every week",
        ),
        (
            custom("OGXServer", {"distribution": {"name": "rh-dev"}}),
            "workload has no limits for cpu, memory",
        ),
        (
            custom("ImageStream", {"tags": [{"from": {"name": "quay.io/team/kit:latest"}}]}),
            "is another one every week",
        ),
        (
            custom("Notebook", {"template": {"spec": {"containers": [{"name": "lab"}]}}}),
            "lab has no readinessProbe",
        ),
        (
            {"kind": "Secret", "metadata": GOOD["metadata"], "stringData": {"password": "x"}},
            "a Secret with content stands in the repository",
        ),
        (
            {"kind": "Secret", "metadata": GOOD["metadata"], "data": {"password": "eA=="}},
            "a Secret with content stands in the repository",
        ),
    ],
)
def test_each_kind_is_held_to_the_rules_that_fit_it(thing: Object, said: str) -> None:
    found = problems(Seen(Path("broken"), thing))
    assert any(said in one for one in found), found


def test_only_overlays_for_plain_kubernetes_may_fix_a_user() -> None:
    thing = copy.deepcopy(GOOD)
    thing["spec"]["template"]["spec"]["securityContext"]["runAsUser"] = 65532
    assert problems(Seen(Path("mongodb/overlays/kubernetes-cpu"), thing)) == []
    assert problems(Seen(Path("mongodb/base"), thing)) != []


def test_every_rule_was_broken() -> None:
    wrong = [broken(change) for change, _ in BROKEN]
    secret = {"kind": "Secret", "metadata": GOOD["metadata"], "data": {"a": "b"}}
    said = " ".join(one for found in wrong for one in found)
    said += " ".join(problems(Seen(Path("broken"), secret)))
    for rule in RULES:
        texts = {one for seen in all_broken(secret) for one in rule(seen)}
        assert texts, rule.__name__
        assert any(text in said for text in texts), rule.__name__


def all_broken(*more: Object) -> Iterable[Seen]:
    for change, _ in BROKEN:
        thing = copy.deepcopy(GOOD)
        change(thing)
        yield Seen(Path("broken"), thing)
    for thing in more:
        yield Seen(Path("broken"), thing)


# --- an attendee's quota --------------------------------------------------------------------------

UNITS = {"m": 0.001, "Mi": 2**20, "Gi": 2**30, "": 1}


def number(quantity: str) -> float:
    digits = quantity.rstrip("mMGi")
    return float(digits) * UNITS[quantity[len(digits) :]]


def needed(folders: Iterable[str]) -> dict[str, float]:
    """What these parts take from a quota when all of their pods run."""
    total: dict[str, float] = {}
    for seen in (seen for folder in folders for seen in seen_in(Path(folder))):
        for _, given in seen.sized():
            for part in ("requests", "limits"):
                for name, quantity in given[part].items():
                    key = f"{part}.{name}"
                    total[key] = total.get(key, 0) + number(quantity)
        if seen.kind == "PersistentVolumeClaim":
            storage = seen.thing["spec"]["resources"]["requests"]["storage"]
            total["requests.storage"] = total.get("requests.storage", 0) + number(storage)
            total["persistentvolumeclaims"] = total.get("persistentvolumeclaims", 0) + 1
        if seen.pod() is not None and seen.kind != "ServingRuntime":
            total["pods"] = total.get("pods", 0) + 1
    return total


WITHOUT_MODEL = ("embedder/base", "llama-stack/overlays/kubernetes", "mongodb/base")
WITHOUT_MODEL += ("mcp-server/base", "mcp-server/base", "workbench")
WITHOUT_MODEL += ("collector/base", "collector/base", "prometheus/base", "prometheus/base")
"""The MCP server, the collector and MongoDB's exporter twice: a new pod starts before the old one
ends."""

SCALED = ("llama-stack/overlays/kubernetes", "mcp-server/base")
"""Those of which notebook 10 runs a second one, which has no volume of its own."""


@pytest.mark.parametrize(
    ("quota", "folders"),
    [
        (SHARED, WITHOUT_MODEL),
        (OWN, (*WITHOUT_MODEL, "model/overlays/kubernetes-gpu")),
        (OWN, (*WITHOUT_MODEL, "model/overlays/kubernetes-cpu")),
    ],
    ids=["shared", "gpu", "cpu"],
)
def test_the_quota_of_an_attendee_is_enough_for_all_parts_and_a_workbench(
    quota: dict[str, str], folders: Iterable[str]
) -> None:
    for name, amount in needed(folders).items():
        if name in quota:
            assert amount <= number(quota[name]), name


def test_the_pods_that_try_the_network_fit_too_and_keep_the_rules() -> None:
    """All at once, scaled out: one for each peer of the namespace, and two that are tried."""
    probe = pod_of(Probe("stranger", "probe", {}), [], fixes_user=False, owner=None)
    assert problems(Seen(Path("probes"), probe)) == []
    total, count = needed((*WITHOUT_MODEL, "postgresql/base")), 2
    for name, amount in needed(SCALED).items():
        if "storage" not in name and name != "persistentvolumeclaims":
            total[name] += amount
    count += sum(bool(peer.labels) for peer in ALL.peers)
    total["pods"] += count
    for part, given in probe["spec"]["containers"][0]["resources"].items():
        for name, quantity in given.items():
            total[f"{part}.{name}"] += count * number(quantity)
    assert [name for name in SHARED if total.get(name, 0) > number(SHARED[name])] == []


def test_a_quota_that_is_too_small_would_be_noticed() -> None:
    wanted = needed((*WITHOUT_MODEL, "model/overlays/kubernetes-gpu"))
    assert wanted["requests.nvidia.com/gpu"] > number(SHARED["requests.nvidia.com/gpu"])
    assert wanted["limits.memory"] > number(SHARED["limits.memory"])
