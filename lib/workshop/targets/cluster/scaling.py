"""How much of a part runs: replicas, an autoscaler, limits.

What was asked for is a fact in the namespace: a notebook that is run again does not undo a scale,
and says so. ``scale`` with one replica sets it back.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from decimal import Decimal

from kubernetes.utils import parse_quantity

from workshop.core.errors import SettingsError
from workshop.core.progress import Stages
from workshop.targets.base import Part, Scale
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.manifests import Plan
from workshop.targets.cluster.pod_status import claims_of
from workshop.targets.cluster.store import Store

SCALED = "scaled"  # The folder beside a part's manifests with its autoscaler and its budget.
SURGE = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
"""Of a Deployment with several replicas: the next one is ready before one goes."""


def fact(part: str) -> str:
    """The name under which a part's scale is kept."""
    return f"scale {part}"


def read(kept: str | None) -> Scale:
    """The scale as it was kept; one replica, when none was asked for."""
    return Scale(**json.loads(kept)) if kept else Scale()


def text(scale: Scale) -> str | None:
    """The scale as it is kept; None, when it is what every part starts with."""
    return None if scale == Scale() else json.dumps(asdict(scale))


def words(scale: Scale) -> str:
    """For progress, such as ``2 replicas, up to 4 by an autoscaler, memory 1Gi each``."""
    said = [f"{scale.replicas} replica{'s' if scale.replicas > 1 else ''}"]
    said += [f"up to {scale.most} by an autoscaler"] if scale.most > scale.replicas else []
    limits = [f"{name} {value}" for name, value in _limits(scale).items()]
    return ", ".join(said + ([" and ".join(limits) + " each"] if limits else []))


def reason(plan: Plan) -> str | None:
    """Why there can be one replica alone, or None: what it keeps to itself, and its volumes."""
    claims = [thing for thing in plan.objects if thing["kind"] == "PersistentVolumeClaim"]
    workloads = [thing for thing in plan.objects if thing["kind"] == "Deployment"]
    return "; ".join([*plan.keeps, *(v for one in workloads for v in lonely(one, claims))]) or None


def lonely(workload: Object, claims: Iterable[Object]) -> list[str]:
    """A Deployment's volumes, of these claims, that the pods of one node alone can mount."""
    named = claims_of(workload["spec"]["template"]["spec"])
    return [
        f"the volume {claim['metadata']['name']} is ReadWriteOnce"
        for claim in claims
        if claim["metadata"]["name"] in named
        and set(claim["spec"].get("accessModes") or []) <= {"ReadWriteOnce", "ReadWriteOncePod"}
    ]


def refuse(part: Part, plan: Plan, scale: Scale, where: str) -> None:
    """Raise, with the reason, where a scale cannot be had."""
    why = reason(plan)
    if max(scale.replicas, scale.most) > 1 and why:
        raise SettingsError(
            f"{part.name} can have only one replica.",
            where=where,
            state=why,
            hint="10_scale_out gives it storage that replicas share",
        )
    if scale.replicas < 1:
        raise SettingsError(f"{part.name} needs at least one replica.", state=str(scale.replicas))


def as_asked(plan: Plan, part: Part, api: Api, store: Store, stage: Stages) -> Plan:
    """The plan for as much of a part as was asked for last, if it can have that still."""
    scale = read(store.recall(fact(part.name)))
    if scale == Scale():
        return plan
    refuse(part, plan, scale, api.where)
    stage(f"{words(scale)}, as 10_scale_out has set it")
    live = api.get("apps/v1", "Deployment", plan.deployment)
    return applied(plan, part.name, scale, int(live["spec"].get("replicas", 1)) if live else 0)


def applied(plan: Plan, part: str, scale: Scale, now: int) -> Plan:
    """The plan for this much of a part.

    ``now`` is how many replicas there are: between the least and the most an autoscaler has the
    say, and its field is left as it is.
    """
    plan = replace(plan, scale=scale)
    if scale == Scale():
        return plan
    for thing in plan.objects:
        if plan.resource or thing["metadata"]["name"] == plan.deployment:
            _resize(thing, scale, now)
    managed = {thing["kind"] for thing in plan.objects} & {"LlamaStackDistribution", "OGXServer"}
    folder = objects.MANIFESTS / part / SCALED
    if max(scale.replicas, scale.most) > 1 and not managed and folder.is_dir():
        for thing in objects.build(folder):
            if thing["kind"] != "HorizontalPodAutoscaler":
                thing["spec"]["selector"]["matchLabels"] = dict(plan.pods)
            elif plan.resource or scale.most <= scale.replicas:
                continue  # Not wanted; or KServe makes one of its own.
            else:
                thing["spec"] |= {"minReplicas": scale.replicas, "maxReplicas": scale.most}
            plan.objects.append(thing)
    return plan


def fits(deployment: Object, scale: Scale) -> bool:
    """Whether a Deployment is as this scale wants it: a watch, or an operator, may be behind."""
    if scale == Scale():
        return True
    count = deployment["spec"].get("replicas", 1)
    given = (objects.container(deployment).get("resources") or {}).get("limits") or {}
    in_range = scale.replicas <= count <= max(scale.most, scale.replicas)
    return in_range and _limits(scale).items() <= given.items()


def _resize(thing: Object, scale: Scale, now: int) -> None:
    """Tell an object how many; the fields of the operators' kinds are of their own types."""
    kind, spec, most = thing["kind"], thing.get("spec", {}), max(scale.most, scale.replicas)
    if kind == "Deployment":
        spec["replicas"] = min(max(now, scale.replicas), most)
        if most > 1:
            spec["strategy"] = SURGE
        limited = objects.container(thing)
    elif kind == "LlamaStackDistribution":
        spec["replicas"] = scale.replicas
        spec["server"] |= _by_operator(scale)
        limited = spec["server"]["containerSpec"]
    elif kind == "OGXServer":
        limited = spec["workload"]
        limited |= {"replicas": scale.replicas} | _by_operator(scale)
    elif kind == "InferenceService":
        spec["predictor"] |= {"minReplicas": scale.replicas, "maxReplicas": most}
        limited = spec["predictor"]["model"]
    else:
        return
    resources = limited.setdefault("resources", {})
    for name, value in _limits(scale).items():
        resources.setdefault("limits", {})[name] = value
        requests = resources.setdefault("requests", {})
        # Requests that would exceed the limits come down to them.
        if name not in requests or quantity(requests[name]) > quantity(value):
            requests[name] = value


def _by_operator(scale: Scale) -> Object:
    """What both generations of Llama Stack's operator make an autoscaler and a budget of."""
    several = max(scale.replicas, scale.most) > 1
    fields: Object = {"podDisruptionBudget": {"minAvailable": 1}} if several else {}
    if scale.most > scale.replicas:
        range_ = {"minReplicas": scale.replicas, "maxReplicas": scale.most}
        fields["autoscaling"] = range_ | {"targetCPUUtilizationPercentage": 75}
    return fields


def _limits(scale: Scale) -> dict[str, str]:
    given = {"cpu": scale.cpu, "memory": scale.memory}
    return {name: value for name, value in given.items() if value}


def quantity(written: object) -> Decimal:
    """A quantity of Kubernetes, such as ``500m`` or ``2Gi``, as a number of cores or of bytes."""
    try:
        return Decimal(parse_quantity(str(written)))
    except ValueError as error:
        raise SettingsError(
            f"{str(written)!r} is not a quantity.", hint='such as "500m" of cores, "2Gi" of memory'
        ) from error
