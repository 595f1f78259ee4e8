"""Why a part does not come up: what Kubernetes knows about its objects, as one sentence.

Pure functions of what a namespace holds: pods, custom resources, Jobs, Routes. Each trouble below
would otherwise be waited for until the time is over; here it ends the waiting at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from workshop.targets.cluster.api import Object
from workshop.targets.cluster.endpoints import admitted
from workshop.targets.cluster.objects import DIGEST

IMAGE = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
ONCE = "ErrImagePull"
"""A pull that failed, and will be tried again: a moment's trouble, perhaps."""
CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")

PROBE = "agent-workshop-kit/probe"
"""The label of pods that only try the network under a part's labels: they are of no part."""

SCALING = ("TriggeredScaleUp",)
"""Events that say that a missing node is on its way."""


@dataclass(frozen=True)
class Trouble:
    """Why waiting is useless.

    Args:
        what: The end of "mongodb ...".
        state: What Kubernetes says.
        hint: What mends it.
        pod: Whose log says more, with the container; or "".
        container: Of that pod.
        previous: Whether the log is that of the container's last run.
    """

    what: str
    state: str
    hint: str
    pod: str = ""
    container: str = ""
    previous: bool = False


@dataclass(frozen=True)
class Seen:
    """What there is of a part: its current pods, and the namespace's claims and events.

    ``leaving``: the namespace's pods that are being deleted. Their room will be free.
    """

    pods: Sequence[Object]
    sets: Sequence[Object]
    claims: Sequence[Object]
    events: Sequence[Object]
    leaving: Sequence[Object] = ()


def current(pods: Iterable[Object], selector: Mapping[str, str], digest: str) -> list[Object]:
    """The pods of a part as it is deployed now, without those of an earlier deployment."""
    found = []
    for pod in pods:
        meta = pod["metadata"]
        have = meta.get("labels") or {}
        ours = PROBE not in have and all(have.get(k) == v for k, v in selector.items())
        if ours and not meta.get("deletionTimestamp") and carries(pod, digest):
            found.append(pod)
    return found


def leaving(pods: Iterable[Object]) -> list[Object]:
    """The pods that are being deleted."""
    return [pod for pod in pods if pod["metadata"].get("deletionTimestamp")]


def carries(thing: Object, digest: str) -> bool:
    """Whether a pod or a pod template was made from these settings.

    An operator that takes no annotations for its pods gets the digest as a variable.
    """
    if not digest:
        return True
    if ((thing.get("metadata") or {}).get("annotations") or {}).get(DIGEST) == digest:
        return True
    containers = thing["spec"]["containers"]
    return any(
        variable.get("value") == digest for one in containers for variable in one.get("env") or []
    )


def is_ready(pod: Object) -> bool:
    """Whether it takes requests."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in _conditions(pod))


def find(seen: Seen, images: Sequence[str] = IMAGE) -> Trouble | None:
    """The first trouble that waiting would not mend, or None; ``images``: what counts as one."""
    for replica_set in seen.sets:
        trouble = _not_created(replica_set)
        if trouble:
            return trouble
    for pod in seen.pods:
        trouble = _unschedulable(pod, seen) or _probed(pod, seen) or _container(pod, images)
        if trouble:
            return trouble
    return None


def describe(seen: Seen) -> str:
    """What its pods do at the moment, for the waiting line and for an error's last state."""
    if not seen.pods:
        return "; ".join(["no pod yet", *filter(None, map(_refusal, seen.sets))])
    return "; ".join(_describe(pod, seen.events) for pod in seen.pods)


def _refusal(replica_set: Object) -> str:
    """Why the API server made no pod of it, in its own words; "" when it did, or was not asked."""
    for condition in _conditions(replica_set):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return _clean(condition.get("message", ""))
    return ""


def _not_created(replica_set: Object) -> Trouble | None:
    message = _refusal(replica_set)
    # An account is made together with the pods, or by the cluster in a namespace of this moment.
    if not message or "error looking up service account" in message:
        return None
    if "exceeded quota" in message:
        return Trouble(
            "does not fit into the namespace's quota",
            message,
            "kubectl describe quota; remove what is not needed, or ask for a larger quota",
        )
    if "violates PodSecurity" in message or "security context constraint" in message:
        return Trouble(
            "is not admitted: its pod asks for rights that this namespace does not give",
            message,
            "use the kit's manifests unchanged: they fit the level restricted and "
            "OpenShift's restricted-v2",
        )
    return Trouble("gets no pod", message, "kubectl describe replicaset")


def _unschedulable(pod: Object, seen: Seen) -> Trouble | None:
    for condition in _conditions(pod):
        if condition["type"] != "PodScheduled" or condition["status"] != "False":
            continue
        message = _clean(condition.get("message", ""))
        reasons = [event.get("reason") for event in events_of(pod, seen.events)]
        if any(reason in SCALING for reason in reasons):
            return None
        if "Insufficient" in message and seen.leaving:
            return None
        if "persistentvolumeclaim" in message.lower() or "volume" in message.lower():
            return _volume(pod, seen, message)
        if "nvidia.com/gpu" in message:
            return Trouble(
                "waits for a GPU, and no node has one free",
                message,
                "run 01_add_gpu_nodes, or take the CPU: a model without one is chosen where no "
                "node offers nvidia.com/gpu",
            )
        if "Insufficient" in message:
            return Trouble(
                "does not fit on any node",
                message,
                "free some CPU or memory on the cluster's nodes, or add a node",
            )
        if "taint" in message or "affinity" in message or "selector" in message:
            return Trouble(
                "is not allowed on any node",
                message,
                "kubectl get nodes --show-labels; kubectl describe node",
            )
    return None


def _volume(pod: Object, seen: Seen, message: str) -> Trouble | None:
    """A claim that nothing will bind; one that is being provisioned is waited for."""
    volumes = pod["spec"].get("volumes") or []
    claims = [v["persistentVolumeClaim"] for v in volumes if "persistentVolumeClaim" in v]
    names = {claim["claimName"] for claim in claims}
    for claim in seen.claims:
        if claim["metadata"]["name"] not in names or claim["status"].get("phase") == "Bound":
            continue
        for event in events_of(claim, seen.events):
            said = _clean(event.get("message", ""))
            if event.get("reason") == "ProvisioningFailed" or "no storage class is set" in said:
                return Trouble(
                    f"waits for its volume {claim['metadata']['name']}, and nothing provides it",
                    f"{said}; {message}",
                    "kubectl get storageclass; name one in the notebook's STORAGE_CLASS, or make "
                    "one the default",
                )
    return None


def _probed(pod: Object, seen: Seen) -> Trouble | None:
    """A container that its node ends again and again because it does not answer in time."""
    killed = [e for e in events_of(pod, seen.events) if e.get("reason") == "Killing"]
    said = [str(event.get("message", "")) for event in killed]
    if not any("failed startup probe" in one or "failed liveness probe" in one for one in said):
        return None
    for one in _statuses(pod):
        if one.get("restartCount", 0) and not one.get("ready"):
            failed = [
                _clean(event.get("message", ""))
                for event in events_of(pod, seen.events)
                if event.get("reason") == "Unhealthy"
            ]
            return Trouble(
                "is ended by its own probe while it still loads",
                f"{'; '.join(failed[-1:])}; started {one['restartCount'] + 1} times",
                "give its startupProbe more time in the manifest: failureThreshold times "
                "periodSeconds must be longer than loading takes",
                *(pod["metadata"]["name"], one["name"], True),
            )
    return None


def _container(pod: Object, images: Sequence[str]) -> Trouble | None:
    name = pod["metadata"]["name"]
    for one in _statuses(pod):
        waiting = (one.get("state") or {}).get("waiting") or {}
        ended = (one.get("state") or {}).get("terminated") or {}
        last = (one.get("lastState") or {}).get("terminated") or {}
        reason, message = waiting.get("reason", ""), _clean(waiting.get("message", ""))
        if reason in images:
            return Trouble(
                "cannot pull its image",
                f"{one['image']}: {message or reason}",
                pull_hint(message),
            )
        if reason in CONFIG:
            return Trouble(
                "cannot be started by its node",
                f"{reason}: {message}",
                f"kubectl describe pod {name}",
            )
        if "OOMKilled" in (ended.get("reason"), last.get("reason")):
            limit = _limit(pod, one["name"])
            return Trouble(
                f"was ended because it used more memory than its limit{limit}",
                f"OOMKilled, started {one.get('restartCount', 0) + 1} times",
                "raise the memory limit in its manifest, or take a smaller model",
                *(name, one["name"], not ended),
            )
        if reason == "CrashLoopBackOff":
            code = last.get("exitCode")
            return Trouble(
                "ends again and again",
                f"exit code {code}, started {one.get('restartCount', 0) + 1} times",
                f"its log says why: kubectl logs {name} --previous",
                *(name, one["name"], True),
            )
    return None


def _statuses(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _describe(pod: Object, events: Sequence[Object]) -> str:
    status = pod.get("status") or {}
    said = []
    for one in _statuses(pod):
        state = one.get("state") or {}
        if "waiting" in state:
            said.append(f"{one['name']}: {state['waiting'].get('reason', 'waiting')}")
        elif "running" in state:
            ready = "ready" if one.get("ready") else "running, not ready yet"
            again = one.get("restartCount", 0)
            said.append(f"{one['name']}: {ready}" + (f", restarted {again} times" if again else ""))
        elif state.get("terminated", {}).get("exitCode"):
            said.append(f"{one['name']}: ended with {state['terminated']['exitCode']}")
    text = ", ".join(said) or str(status.get("phase", "unknown"))
    for condition in _conditions(pod):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            text += f": {_clean(condition.get('message', ''))}"
    warnings = [e for e in events_of(pod, events) if e.get("type") == "Warning"]
    # What was once amiss with a pod that is ready now is of no use to anybody.
    if warnings and not is_ready(pod):
        newest = max(warnings, key=lambda event: str(event.get("lastTimestamp") or ""))
        text += f" ({newest.get('reason')}: {_clean(newest.get('message', ''))})"
    return f"pod {pod['metadata']['name']} {text}"


def events_of(thing: Object, events: Iterable[Object]) -> list[Object]:
    """The events about this object."""
    uid = thing["metadata"].get("uid")
    return [event for event in events if (event.get("involvedObject") or {}).get("uid") == uid]


def _conditions(thing: Object) -> list[Object]:
    return (thing.get("status") or {}).get("conditions") or []


def _limit(pod: Object, container: str) -> str:
    for one in pod["spec"]["containers"]:
        if one["name"] == container:
            limit = ((one.get("resources") or {}).get("limits") or {}).get("memory")
            return f" of {limit}" if limit else ""
    return ""


def _clean(text: str) -> str:
    return " ".join(text.split())[:400]


def given_up(resource: Object) -> Trouble | None:
    """What the operator says when it gave up on a custom resource; it must have its ``kind``."""
    kind, status = resource["kind"], resource.get("status") or {}
    model = status.get("modelStatus") or {}
    failed = status.get("phase") == "Failed"
    blocked = model.get("transitionStatus") in ("InvalidSpec",)
    if not failed and not blocked:
        return None
    said = [
        f"{one['type']}: {one.get('message') or one.get('reason')}"
        for one in status.get("conditions") or []
        if one.get("status") == "False"
    ]
    said += [str((model.get("lastFailureInfo") or {}).get("message") or "")]
    state = "; ".join(filter(None, said)) or f"phase {status.get('phase')}"
    name = resource["metadata"]["name"]
    return Trouble("was given up by its operator", state, f"kubectl describe {kind} {name}")


def awaited(resource: Object) -> str:
    """What a custom resource waits for, while there is nothing that runs it."""
    status = resource.get("status")
    if not status:
        return f"the operator has not looked at the {resource['kind']} yet: is it running?"
    phase = status.get("phase") or ", ".join(
        f"{one['type']}={one['status']}" for one in status.get("conditions") or []
    )
    return f"{resource['kind']}: {phase}"


def failed_job(job: Object) -> Trouble | None:
    """Why a Job will not be tried again, or None."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition["type"] == "Failed" and condition["status"] == "True":
            name = job["metadata"]["name"]
            return Trouble(
                f"could not be set up: its job {name} failed",
                str(condition.get("message", "")),
                f"kubectl logs job/{name}",
            )
    return None


def refused_route(route: Object) -> Trouble | None:
    """Why the router does not serve a Route, or None: it serves it, or has not looked at it."""
    if admitted(route):
        return None
    for ingress in (route.get("status") or {}).get("ingress") or []:
        for condition in ingress.get("conditions") or []:
            if condition["type"] == "Admitted":
                said = f"{condition.get('reason')}: {condition.get('message')}"
                name = route["metadata"]["name"]
                hint = f"kubectl describe route {name}; another Route may have its host"
                return Trouble("has a Route that was refused", said, hint)
    return None


PULL_HINTS = (
    (
        r"toomanyrequests|too many requests|rate limit",
        "the registry limits anonymous pulls: wait, or give the namespace a pull secret, or mirror "
        "the image and name the mirror in the manifest",
    ),
    (
        r"unauthorized|denied|authentication required|\b40[13]\b",
        "the registry wants a login: kubectl create secret docker-registry NAME, and name it in "
        "the ServiceAccount's imagePullSecrets",
    ),
    (
        r"no such host|connection refused|i/o timeout|network is unreachable|Temporary failure",
        "the cluster's nodes do not reach that registry: mirror the image, and name the mirror in "
        "the manifest",
    ),
)
"""A pattern of the registry's words, and the remedy. Docker Hub's is ``toomanyrequests``."""

PULL_UNKNOWN = (
    "is the name right, and may the cluster reach that registry? A registry that wants a login "
    "needs a pull secret; Docker Hub limits anonymous pulls"
)


def pull_hint(said: str) -> str:
    """The remedy for what the node says of a pull that failed."""
    for pattern, remedy in PULL_HINTS:
        if re.search(pattern, said, re.IGNORECASE):
            return remedy
    return PULL_UNKNOWN
