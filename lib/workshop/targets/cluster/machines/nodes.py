"""What nodes say about themselves: whether they take pods, and which GPUs they offer."""

from workshop.targets.base import Accelerator
from workshop.targets.cluster.api import Object
from workshop.targets.cluster.objects import is_ready, labels_of

NODE = ("v1", "Node")

GPU = "nvidia.com/gpu"  # The resource that NVIDIA's device plugin offers to pods, a count as text.
PRODUCT = "nvidia.com/gpu.product"  # The label with the GPU's name, such as ``NVIDIA-L4``.


def gpus(node: Object) -> int:
    """How many GPUs pods may have there: 0 until the driver and the device plugin run."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    return int(allocatable.get(GPU) or 0)


def wanted(pod: Object) -> bool:
    """Whether a pod asks for a GPU."""
    asked = (
        (one.get("resources") or {}).get(kind) or {}
        for one in pod["spec"]["containers"]
        for kind in ("limits", "requests")
    )
    return any(GPU in resources for resources in asked)


def untolerated(node: Object, pod: Object) -> list[str]:
    """The node's taints that keep this pod away, as ``key:effect``."""
    tolerations = pod["spec"].get("tolerations") or []
    return [
        f"{taint['key']}:{taint['effect']}"
        for taint in node["spec"].get("taints") or []
        if taint["effect"] != "PreferNoSchedule"
        and not any(_tolerates(one, taint) for one in tolerations)
    ]


def tolerated(pod: Object) -> str:
    """The keys of taints that a pod tolerates, in words."""
    keys = [str(one.get("key") or "all") for one in pod["spec"].get("tolerations") or []]
    return ", ".join(dict.fromkeys(keys)) or "none"


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    same = toleration.get("value", "") == taint.get("value", "")
    return bool(toleration.get("key") == taint["key"] and same)


def accelerators(nodes: list[Object]) -> list[Accelerator]:
    """Those that offer a GPU, by name."""
    found = [
        Accelerator(
            node=node["metadata"]["name"],
            ready=is_ready(node),
            count=gpus(node),
            product=labels_of(node).get(PRODUCT, ""),
            labels=labels_of(node),
            taints=tuple(f"{one['key']}:{one['effect']}" for one in node["spec"].get("taints", [])),
        )
        for node in nodes
        if gpus(node)
    ]
    return sorted(found, key=lambda one: one.node)
