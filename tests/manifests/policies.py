"""What every object under ``manifests/`` must be: one function a rule, each gives its problems."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Object = dict[str, Any]

LABELS = tuple(f"app.kubernetes.io/{name}" for name in ("name", "component", "part-of"))
LABELS += ("app.kubernetes.io/managed-by",)

LASTING = ("Deployment", "StatefulSet", "DaemonSet", "Notebook")
"""Kinds whose pods run on and on. KServe gives a predictor its probes itself."""

TEMPLATED = (*LASTING, "Job", "ReplicaSet")

ASKS_THE_API = ("Notebook",)
"""Kinds whose pods talk to the API server."""

WRITES_ITS_ROOT = ("Notebook", "ServingRuntime")
"""JupyterLab installs extensions and packages; vLLM's image compiles into folders of its own."""

IMAGE = re.compile(r"[\w.:/-]+(:[\w][\w.-]*|@sha256:[0-9a-f]{64})")


@dataclass(frozen=True)
class Seen:
    """One object of one kustomization."""

    folder: Path
    thing: Object

    @property
    def kind(self) -> str:
        return str(self.thing["kind"])

    @property
    def where(self) -> str:
        return f"{self.folder}: {self.kind} {self.thing['metadata']['name']}"

    @property
    def fixes_users(self) -> bool:
        """Whether it is for clusters that give pods no user of their own."""
        return self.folder.name.startswith("kubernetes")

    def pod(self) -> Object | None:
        """The pod that it describes, or None."""
        spec = self.thing.get("spec") or {}
        if self.kind in TEMPLATED:
            return dict(spec["template"]["spec"])
        if self.kind == "CronJob":
            return dict(spec["jobTemplate"]["spec"]["template"]["spec"])
        if self.kind in ("Pod", "ServingRuntime", "ClusterServingRuntime"):
            return dict(spec)
        if self.kind == "InferenceService":
            return {key: value for key, value in spec["predictor"].items() if key != "model"}
        return None

    def containers(self) -> list[Object]:
        pod = self.pod() or {}
        return [*(pod.get("initContainers") or []), *(pod.get("containers") or [])]

    def sized(self) -> Iterator[tuple[str, Object]]:
        """Everything that must say what it needs: its name and its ``resources``."""
        spec = self.thing.get("spec") or {}
        if self.kind == "InferenceService":
            model = spec["predictor"].get("model")
            if model is not None:
                yield "model", model.get("resources") or {}
        elif self.kind == "LlamaStackDistribution":
            yield "server", spec["server"].get("containerSpec", {}).get("resources") or {}
        elif self.kind == "OGXServer":
            yield "workload", spec.get("workload", {}).get("resources") or {}
        # What a ServingRuntime's container needs, its InferenceService says.
        if self.kind != "ServingRuntime":
            for one in self.containers():
                yield one["name"], one.get("resources") or {}


def images(seen: Seen) -> Iterator[str]:
    spec = seen.thing.get("spec") or {}
    named = [one.get("image", "") for one in seen.containers()]
    if seen.kind == "InferenceService":
        uri = (spec["predictor"].get("model") or {}).get("storageUri", "")
        named += [uri.removeprefix("oci://")] if uri.startswith("oci://") else []
    for distribution in (spec.get("distribution"), (spec.get("server") or {}).get("distribution")):
        named += [distribution["image"]] if distribution and "image" in distribution else []
    if seen.kind == "ImageStream":
        named += [tag["from"]["name"] for tag in spec["tags"]]
    for image in named:
        last = image.rpartition("/")[2]
        if not IMAGE.fullmatch(image) or (":" not in last and "@" not in last):
            yield f"the image {image!r} is not pinned by a tag"
        elif image.endswith(":latest"):
            yield f"the image {image!r} is another one every week"


def resources(seen: Seen) -> Iterator[str]:
    for name, given in seen.sized():
        for part in ("requests", "limits"):
            lacking = {"cpu", "memory"} - set(given.get(part) or {})
            if lacking:
                yield f"{name} has no {part} for {', '.join(sorted(lacking))}"


def probes(seen: Seen) -> Iterator[str]:
    if seen.kind not in LASTING:
        return
    for one in (seen.pod() or {}).get("containers") or []:
        for probe in ("readinessProbe", "livenessProbe"):
            if probe not in one:
                yield f"{one['name']} has no {probe}"


def security(seen: Seen) -> Iterator[str]:
    """PodSecurity ``restricted``."""
    whole = (seen.pod() or {}).get("securityContext") or {}
    for one in seen.containers():
        own = one.get("securityContext") or {}
        both, capabilities = whole | own, own.get("capabilities") or {}
        kept = {
            "may run as root": both.get("runAsNonRoot") is True,
            "has no seccomp profile": both.get("seccompProfile") == {"type": "RuntimeDefault"},
            "may escalate its privileges": own.get("allowPrivilegeEscalation") is False,
            "keeps capabilities": capabilities.get("drop") == ["ALL"],
            "gets more rights": not (capabilities.get("add") or own.get("privileged")),
            "may write its root file system": own.get("readOnlyRootFilesystem") is True
            or seen.kind in WRITES_ITS_ROOT,
        }
        yield from (f"{one['name']} {said}" for said, is_kept in kept.items() if not is_kept)


def users(seen: Seen) -> Iterator[str]:
    """OpenShift's restricted-v2 gives each namespace users of its own."""
    contexts = [seen.pod() or {}, *seen.containers()]
    for context in (one.get("securityContext") or {} for one in contexts):
        for key in ("runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"):
            if key in context and not seen.fixes_users:
                yield f"{key} is fixed, which restricted-v2 refuses"


def labels(seen: Seen) -> Iterator[str]:
    given = seen.thing["metadata"].get("labels") or {}
    for label in LABELS:
        if not given.get(label):
            yield f"it has no label {label}"


def secrets(seen: Seen) -> Iterator[str]:
    if seen.kind == "Secret" and (seen.thing.get("data") or seen.thing.get("stringData")):
        yield "a Secret with content stands in the repository"


def host(seen: Seen) -> Iterator[str]:
    pod = seen.pod() or {}
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"it uses the node's own: {key}"
    for volume in pod.get("volumes") or []:
        if "hostPath" in volume:
            yield f"the volume {volume['name']} is a folder of the node"
    for one in seen.containers():
        if any("hostPort" in port for port in one.get("ports") or []):
            yield f"{one['name']} takes a port of the node"


def tokens(seen: Seen) -> Iterator[str]:
    pod = seen.pod()
    if pod is None or seen.kind in (*ASKS_THE_API, "ServingRuntime", "InferenceService"):
        # KServe's own pods have none: OpenShift AI's controller takes it away.
        return
    if pod.get("automountServiceAccountToken") is not False:
        yield "its pod gets a token for the API server, which it does not need"


RULES: tuple[Callable[[Seen], Iterator[str]], ...] = (
    *(images, resources, probes, security, users, labels, secrets, host, tokens),
)


def problems(seen: Seen) -> list[str]:
    """All that is wrong with an object."""
    return [f"{seen.where}: {said}" for rule in RULES for said in rule(seen)]
