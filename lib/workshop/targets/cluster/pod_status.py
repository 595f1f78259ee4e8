"""Why a part does not come up: what Kubernetes knows about its objects, as one sentence.

Each problem below would otherwise be waited for until the time is over.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from workshop.targets.cluster.api import Object
from workshop.targets.cluster.endpoints import admitted
from workshop.targets.cluster.errors import QUOTA_HINT
from workshop.targets.cluster.objects import (
    DIGEST,
    condition,
    conditions,
    is_ours,
    is_ready,
    labels_of,
)

IMAGE = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
ONCE = "ErrImagePull"  # A pull that failed, and will be tried again: it may work in a moment.
CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
# What a node says that has not read a Secret or ConfigMap within a second. It tries again by itself
# (Kubernetes, pkg/kubelet/util/manager/watch_based_manager.go).
UNREAD = r"failed to sync \w+ cache"

PROBE = "agent-workshop-kit/probe"
"""The label of pods that only try the network under a part's labels: they are of no part."""

SCALING = "TriggeredScaleUp"  # The event that says that a missing node is on its way.
NOT_CREATED = (
    ("exceeded quota", "does not fit into the namespace's quota", QUOTA_HINT),
    (
        "violates PodSecurity|security context constraint",
        "is not admitted: its pod asks for rights that this namespace does not give",
        "use the kit's manifests unchanged: they fit the level restricted and OpenShift's "
        "restricted-v2",
    ),
    ("", "gets no pod", "kubectl describe replicaset"),
)
UNSCHEDULABLE = (
    (
        r"nvidia\.com/gpu",
        "waits for a GPU, and no node has one free",
        "run 01_add_gpu_nodes, or take the CPU: a model without one is chosen where no node offers "
        "nvidia.com/gpu",
    ),
    (
        "Insufficient",
        "does not fit on any node",
        "free some CPU or memory on the cluster's nodes, or add a node",
    ),
    (
        "taint|affinity|selector",
        "is not allowed on any node",
        "kubectl get nodes --show-labels; kubectl describe node",
    ),
)
"""A pattern of what the API server or the scheduler says, what that means, and what fixes it."""

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
    (
        "",
        "is the name right, and may the cluster reach that registry? A registry that wants a login "
        "needs a pull secret; Docker Hub limits anonymous pulls",
    ),
)
"""A pattern of the registry's words, and what fixes it. Docker Hub's is ``toomanyrequests``."""


PROBE_HINT = (
    "give its startupProbe more time in the manifest: failureThreshold times periodSeconds must be "
    "longer than loading takes"
)
OPERATED_PROBE_HINT = (
    "its operator ends a server that is not up after 45 seconds, and its resource cannot change "
    "that: raise the server's CPU in manifests/llama-stack/overlays, then run the notebook again"
)


@dataclass(frozen=True)
class Blocker:
    """Why waiting is useless: the end of "mongodb ...", what Kubernetes says, and what fixes it.

    Where a log says more, it is that of this pod's container, or of its previous run. One that is
    ``passing`` may end by itself within seconds: whoever refused is asked again.
    """

    what: str
    state: str
    hint: str
    pod: str = ""
    container: str = ""
    previous: bool = False
    passing: bool = False


@dataclass(frozen=True)
class Seen:
    """A part's current pods; the namespace's claims, events, and pods that are being deleted."""

    pods: Sequence[Object]
    sets: Sequence[Object]
    claims: Sequence[Object]
    events: Sequence[Object]
    leaving: Sequence[Object] = ()


def current(pods: Iterable[Object], selector: Mapping[str, str], digest: str) -> list[Object]:
    """The pods of a part as it is deployed now, without those of an earlier deployment."""
    return [
        pod
        for pod in pods
        if PROBE not in (have := labels_of(pod))
        and selector.items() <= have.items()
        and not pod["metadata"].get("deletionTimestamp")
        and carries(pod, digest)
    ]


def ready(pods: Iterable[Object], selector: Mapping[str, str]) -> list[Object]:
    """The pods of a part that take requests, whichever settings they have."""
    return [pod for pod in current(pods, selector, "") if is_ready(pod)]


def by_age(pods: Iterable[Object]) -> list[tuple[str, str]]:
    """The names of these pods, the newest last, each with that of its first container."""
    found = sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    return [(one["metadata"]["name"], one["spec"]["containers"][0]["name"]) for one in found]


def leaving(pods: Iterable[Object]) -> list[Object]:
    """The pods that are being deleted."""
    return [pod for pod in pods if pod["metadata"].get("deletionTimestamp")]


def carries(thing: Object, digest: str) -> bool:
    """Whether a pod or a pod template was made from these settings.

    An operator that takes no annotations for its pods gets the digest as a variable.
    """
    annotations = (thing.get("metadata") or {}).get("annotations") or {}
    variables = [v for one in thing["spec"]["containers"] for v in one.get("env") or []]
    found = [annotations.get(DIGEST), *(one.get("value") for one in variables)]
    return not digest or digest in found


def find(seen: Seen, images: Sequence[str] = IMAGE) -> Blocker | None:
    """The first problem that waiting would not fix, or None; ``images``: what counts as one."""
    found = [_not_created(one, seen.events) for one in seen.sets]
    for pod in seen.pods:
        found.append(_unschedulable(pod, seen) or _probed(pod, seen) or _container(pod, images))
    return next(filter(None, found), None)


def describe(seen: Seen) -> str:
    """What its pods do at the moment, for the waiting line and for an error's last state."""
    if not seen.pods:
        said = (_refusal(one, seen.events) for one in seen.sets)
        return "; ".join(["no pod yet", *filter(None, said)])
    return "; ".join(_describe(pod, seen.events) for pod in seen.pods)


def _refusal(replica_set: Object, events: Iterable[Object]) -> str:
    """Why the API server made no pod of it, in its own words; "" when it did, or was not asked.

    The condition keeps the words of the first refusal; the newest event has those of the last.
    """
    refused = condition(replica_set, "ReplicaFailure")
    if refused is None:
        return ""
    said = [e for e in events_of(replica_set, events) if e.get("reason") == "FailedCreate"]
    return _clean(max(said, key=_last_seen, default=refused).get("message", ""))


def _not_created(replica_set: Object, events: Iterable[Object]) -> Blocker | None:
    """An account, a right or a quota may come a moment after the pod that needs it."""
    message = _refusal(replica_set, events)
    found = _known(NOT_CREATED, message) if message else None
    return replace(found, passing=True) if found else None


def _known(table: Sequence[tuple[str, str, str]], message: str) -> Blocker | None:
    rows = (row for row in table if re.search(row[0], message))
    return next((Blocker(what, message, hint) for _, what, hint in rows), None)


def _unschedulable(pod: Object, seen: Seen) -> Blocker | None:
    refused = condition(pod, "PodScheduled", "False")
    message = _clean((refused or {}).get("message", ""))
    if any(event.get("reason") == SCALING for event in events_of(pod, seen.events)):
        return None
    if "Insufficient" in message and seen.leaving:
        return None
    if "volume" in message.lower():
        return _volume(pod, seen, message)
    return _known(UNSCHEDULABLE, message)


def _volume(pod: Object, seen: Seen, message: str) -> Blocker | None:
    """A claim that nothing will bind; one that is being provisioned is waited for."""
    names = claims_of(pod["spec"])
    for claim in seen.claims:
        if claim["metadata"]["name"] not in names or claim["status"].get("phase") == "Bound":
            continue
        for event in events_of(claim, seen.events):
            said = _clean(event.get("message", ""))
            if event.get("reason") == "ProvisioningFailed" or "no storage class is set" in said:
                return Blocker(
                    f"waits for its volume {claim['metadata']['name']}, and nothing provides it",
                    f"{said}; {message}",
                    "kubectl get storageclass; name one in the notebook's STORAGE_CLASS, or make "
                    "one the default",
                )
    return None


def claims_of(pod: Object) -> list[str]:
    """The names of the volume claims in a pod's specification."""
    volumes = pod.get("volumes") or []
    claims = [v["persistentVolumeClaim"] for v in volumes if "persistentVolumeClaim" in v]
    return [claim["claimName"] for claim in claims]


def _probed(pod: Object, seen: Seen) -> Blocker | None:
    """A container that its node ends again and again because it does not answer in time."""
    events = [(e.get("reason"), str(e.get("message", ""))) for e in events_of(pod, seen.events)]
    killings = [said for reason, said in events if reason == "Killing"]
    if not any(re.search("failed (startup|liveness) probe", said) for said in killings):
        return None
    for one in _statuses(pod):
        if one.get("restartCount", 0) and not one.get("ready"):
            unhealthy = [_clean(said) for reason, said in events if reason == "Unhealthy"]
            return Blocker(
                "is ended by its own probe while it still loads",
                f"{'; '.join(unhealthy[-1:])}; started {one['restartCount'] + 1} times",
                PROBE_HINT if is_ours(pod) else OPERATED_PROBE_HINT,
                *(pod["metadata"]["name"], one["name"], True),
            )
    return None


def _container(pod: Object, images: Sequence[str]) -> Blocker | None:
    name = pod["metadata"]["name"]
    for one in _statuses(pod):
        state, last = one.get("state") or {}, (one.get("lastState") or {}).get("terminated") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        reason, message = waiting.get("reason", ""), _clean(waiting.get("message", ""))
        started = f"started {one.get('restartCount', 0) + 1} times"
        if reason in images:
            said = f"{one['image']}: {message or reason}"
            return Blocker("cannot pull its image", said, pull_hint(message))
        if reason in CONFIG and not re.search(UNREAD, message):
            hint = f"kubectl describe pod {name}"
            return Blocker("cannot be started by its node", f"{reason}: {message}", hint)
        if "OOMKilled" in (ended.get("reason"), last.get("reason")):
            return Blocker(
                "was ended because it used more memory than its limit" + _limit(pod, one["name"]),
                f"OOMKilled, {started}",
                "raise the memory limit in its manifest, or take a smaller model",
                *(name, one["name"], not ended),
            )
        if reason == "CrashLoopBackOff":
            return Blocker(
                "ends again and again",
                f"exit code {last.get('exitCode')}, {started}",
                f"its log says why: kubectl logs {name} --previous",
                *(name, one["name"], True),
            )
    return None


def _statuses(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _describe(pod: Object, events: Sequence[Object]) -> str:
    said = []
    for one in _statuses(pod):
        state = one.get("state") or {}
        if "waiting" in state:
            said.append(f"{one['name']}: {state['waiting'].get('reason', 'waiting')}")
        elif "running" in state:
            is_up = "ready" if one.get("ready") else "running, not ready yet"
            again = one.get("restartCount", 0)
            said.append(f"{one['name']}: {is_up}" + (f", restarted {again} times" if again else ""))
        elif state.get("terminated", {}).get("exitCode"):
            said.append(f"{one['name']}: ended with {state['terminated']['exitCode']}")
    text = ", ".join(said) or str((pod.get("status") or {}).get("phase", "unknown"))
    if unscheduled := condition(pod, "PodScheduled", "False"):
        text += f": {_clean(unscheduled.get('message', ''))}"
    warnings = [e for e in events_of(pod, events) if e.get("type") == "Warning"]
    # What was once wrong with a pod that is ready now is of no use to anybody.
    if warnings and not is_ready(pod):
        last = max(warnings, key=_last_seen)
        text += f" ({last.get('reason')}: {_clean(last.get('message', ''))})"
    return f"pod {pod['metadata']['name']} {text}"


def events_of(thing: Object, events: Iterable[Object]) -> list[Object]:
    """The events about this object."""
    uid = thing["metadata"].get("uid")
    return [event for event in events if (event.get("involvedObject") or {}).get("uid") == uid]


def _last_seen(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _limit(pod: Object, container: str) -> str:
    for one in pod["spec"]["containers"]:
        limit = ((one.get("resources") or {}).get("limits") or {}).get("memory")
        if one["name"] == container and limit:
            return f" of {limit}"
    return ""


def _clean(text: str) -> str:
    return " ".join(text.split())[:400]


def given_up(resource: Object) -> Blocker | None:
    """What the operator says when it gave up on a custom resource.

    Operators try again, by themselves or when the resource is touched: ``rollout.apply`` does.
    """
    kind, status = resource["kind"], resource.get("status") or {}
    model = status.get("modelStatus") or {}
    if status.get("phase") != "Failed" and model.get("transitionStatus") != "InvalidSpec":
        return None
    said = [
        f"{one['type']}: {one.get('message') or one.get('reason')}"
        for one in conditions(resource)
        if one.get("status") == "False"
    ]
    said += [str((model.get("lastFailureInfo") or {}).get("message") or "")]
    state = "; ".join(filter(None, said)) or f"phase {status.get('phase')}"
    name = resource["metadata"]["name"]
    hint = f"kubectl describe {kind} {name}"
    return Blocker("was given up by its operator", state, hint, passing=True)


def awaited(resource: Object) -> str:
    """What a custom resource waits for, while there is nothing that runs it."""
    status = resource.get("status")
    if not status:
        return f"the operator has not looked at the {resource['kind']} yet: is it running?"
    said = ", ".join(f"{one['type']}={one['status']}" for one in conditions(resource))
    return f"{resource['kind']}: {status.get('phase') or said}"


def failed_job(job: Object) -> Blocker | None:
    """Why a Job will not be tried again, or None."""
    failed, name = condition(job, "Failed"), job["metadata"]["name"]
    if failed is None:
        return None
    what = f"could not be set up: its job {name} failed"
    return Blocker(what, str(failed.get("message", "")), f"kubectl logs job/{name}")


def refused_route(route: Object) -> Blocker | None:
    """Why the router does not serve a Route, or None: it serves it, or has not looked at it."""
    if admitted(route):
        return None
    name = route["metadata"]["name"]
    for ingress in (route.get("status") or {}).get("ingress") or []:
        for one in ingress.get("conditions") or []:
            if one["type"] == "Admitted":
                said = f"{one.get('reason')}: {one.get('message')}"
                hint = f"kubectl describe route {name}; another Route may have its host"
                return Blocker("has a Route that was refused", said, hint)
    return None


def pull_hint(said: str) -> str:
    """What fixes a pull that failed, by what the node says of it."""
    return next(fix for pattern, fix in PULL_HINTS if re.search(pattern, said, re.IGNORECASE))
