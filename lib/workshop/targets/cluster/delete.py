"""Removing what the kit made: by its labels, and nothing that another object made."""

from collections.abc import Iterable, Mapping, Sequence

from workshop.core.progress import Stages
from workshop.core.wait import NotYet, wait_for
from workshop.targets.cluster import namespaces, objects, pod_status
from workshop.targets.cluster.api import MANAGER, Api, Object
from workshop.targets.cluster.errors import Refused, if_allowed
from workshop.targets.cluster.manifests import WORKLOADS, Plan
from workshop.targets.cluster.manifests.llama_stack import (
    NAME,
    OPERATED_CLAIM,
    OPERATORS,
    serves,
)
from workshop.targets.cluster.objects import COMPONENT, OURS, PRUNED
from workshop.targets.cluster.pod_status import PROBE

GONE = 180.0  # Seconds for what was deleted to be gone: a pod may take half a minute to end.
VOLUMES = ("v1", "PersistentVolumeClaim")
PODS = ("v1", "Pod")
NETWORK = "network"  # The component of policies and of the pods that try them: no part.


def prune(api: Api, part: str, wanted: Iterable[Object]) -> list[str]:
    """Remove a part's objects that are not wanted any more; gives what was removed."""
    keep = {objects.key(thing) for thing in wanted}
    return _delete(api, (one for one in _of_part(api, part) if objects.key(one) not in keep))


def outdated_jobs(api: Api, plan: Plan) -> None:
    """Remove jobs of other settings, and failed ones: a job's pods cannot be changed."""
    outdated = []
    for job in filter(None, (api.get("batch/v1", "Job", name) for name in plan.jobs)):
        failed = any(one["type"] == "Failed" for one in objects.conditions(job))
        if failed or not pod_status.carries(job["spec"]["template"], plan.digest):
            outdated.append(job)
    _delete(api, outdated)
    # The part's other pods go on.
    _await_gone(api, outdated)


def remove(api: Api, part: str) -> list[str]:
    """Remove a part's objects but its volumes, and wait until its pods are gone."""
    found = _of_part(api, part)
    pods = _selectors(api, found)
    if any(one["kind"] == resource.kind for one in found for resource in OPERATORS.values()):
        _keep_claim(api)
    removed = _delete(api, found)
    _await_gone(api, found, pods)
    return removed


def everything(
    api: Api, parts: Sequence[str], *, data: bool, stage: Stages | None = None
) -> list[str]:
    """Remove all parts, in this order, and what they share; with ``data`` the volumes too."""
    if not namespaces.is_visible(api):
        return []
    probes(api, stage)
    stopped = [one for part in (*parts, NETWORK) for one in _of_part(api, part)]
    pods = [*_selectors(api, stopped), *_operators_pods(api)]
    _keep_claim(api)
    removed = _delete(api, stopped)
    _await_gone(api, stopped, pods, stage)
    if not data:
        facts = api.get("v1", "ConfigMap", MANAGER)
        return removed + _delete(api, [facts] if facts else [])
    # Last: without the passwords, what is left in a volume could not be read any more.
    for rest in (_found(api, [VOLUMES, *PRUNED], OURS), _own_namespace(api)):
        removed += _delete(api, rest)
        _await_gone(api, rest, (), stage)
    return removed


def left(api: Api, *, data: bool = False) -> list[str]:
    """What is still there of the kit, and of what operators made for it.

    With ``data`` volumes and the kit's Secret, too.
    """
    if not namespaces.is_visible(api):
        return []
    found = _found(api, [*PRUNED, PODS], OURS) + _probe_namespaces(api)
    found += _with_labels(api, _operators_pods(api))
    if data:
        claim = _operators_claim(api)
        found += _found(api, [VOLUMES], OURS) + ([claim] if claim else [])
    kept = () if data else (("Secret", MANAGER),)
    return [*dict.fromkeys(_name(one) for one in found if objects.key(one) not in kept)]


def probes(api: Api, stage: Stages | None = None) -> None:
    """Remove the pods that try the network, and, in the background, their namespaces."""
    pods = _found(api, [PODS], f"{OURS},{PROBE}")
    _delete(api, [*pods, *_probe_namespaces(api)])
    _await_gone(api, pods, (), stage)


def _probe_namespaces(api: Api) -> list[Object]:
    """Those that are not being removed yet."""
    ours = f"{OURS},{PROBE}={api.namespace}"
    # Who may not see namespaces has made none.
    made = if_allowed(lambda: api.list(*namespaces.NAMESPACE, ours), [])
    return [one for one in made if not namespaces.is_terminating(one)]


def _own_namespace(api: Api) -> list[Object]:
    """The namespace, if the kit made it: it goes with all that is in it."""
    found = if_allowed(lambda: namespaces.find(api), None)
    return [found] if found and objects.is_ours(found) else []


def _of_part(api: Api, part: str) -> list[Object]:
    """A part's objects but its volumes."""
    return _found(api, PRUNED, f"{OURS},{COMPONENT}={part}")


def _found(api: Api, kinds: Iterable[tuple[str, str]], selector: str) -> list[Object]:
    found = [one for kind in kinds for one in api.list(*kind, selector)]
    return [one for one in found if not objects.is_owned(one) or one["kind"] == "Pod"]


def _delete(api: Api, things: Iterable[Object]) -> list[str]:
    return [_name(one) for one in things if api.delete(one)]


def _selectors(api: Api, things: Iterable[Object]) -> list[dict[str, str]]:
    """The labels of these workloads' pods, and of those that operators made of these things."""
    found = [one for one in things if one["kind"] in WORKLOADS]
    operated = [one for one in things if (one["apiVersion"], one["kind"]) in objects.OPERATED]
    for workload in api.list("apps/v1", "Deployment") if operated else ():
        if any(objects.is_owned(workload, one["metadata"]["uid"]) for one in operated):
            found.append(workload)
    return [one["spec"]["template"]["metadata"]["labels"] for one in found]


def _operators_pods(api: Api) -> list[dict[str, str]]:
    """The labels of an operator's pods, also where its resource was removed by hand."""
    mine = {"app.kubernetes.io/instance": NAME}
    return [{"app": server, **mine} for server in OPERATORS] if serves(api) else []


def _operators_claim(api: Api) -> Object | None:
    """The volume that an operator made for the kit's resource, or None."""
    claim = api.get(*VOLUMES, OPERATED_CLAIM) if serves(api) else None
    owners = ((claim or {}).get("metadata") or {}).get("ownerReferences") or []
    known = {resource.kind for resource in OPERATORS.values()}
    return claim if {owner["kind"] for owner in owners} <= known else None


def _keep_claim(api: Api) -> None:
    """Give the operator's volume the kit's labels, and no owner with which it would go."""
    claim = _operators_claim(api)
    if claim:
        mine = {"labels": objects.labels(NAME), "ownerReferences": None}
        try:
            api.merge(claim, {"metadata": mine})
        except Refused as error:
            # It went in this moment, with an owner that was removed by hand.
            if error.code != 404:
                raise


def _with_labels(api: Api, selectors: Sequence[Mapping[str, str]]) -> list[Object]:
    """The pods with all labels of one of these."""
    pods = api.list(*PODS) if selectors else []
    return [
        pod
        for pod in pods
        if any(one.items() <= objects.labels_of(pod).items() for one in selectors)
    ]


def _await_gone(
    api: Api,
    things: Sequence[Object],
    selectors: Sequence[Mapping[str, str]] = (),
    stage: Stages | None = None,
) -> None:
    """Wait until they are gone, and the pods with these labels."""

    def gone() -> object:
        there = [one for one in things if api.get(one["apiVersion"], *objects.key(one))]
        there += _with_labels(api, selectors)
        return NotYet("still there: " + ", ".join(map(_name, there))) if there else True

    if things or selectors:
        wait_for(
            "what was removed to be gone",
            gone,
            timeout=GONE,
            stage=stage,
            every=0.5,
            where=api.where,
            hint="kubectl get all; a finalizer whose operator is gone may keep an object",
        )


def _name(thing: Object) -> str:
    return " ".join(objects.key(thing))
