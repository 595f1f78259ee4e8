"""Machines that may be added to the place where parts run, and the GPUs that nodes offer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Machines:
    """Machines to be added to the place where parts run.

    Args:
        machine_type: The cloud's name of it, such as ``g6.4xlarge``.
        zone: The cloud's zone, such as ``us-east-2a``; "" leaves the choice to the target.
        replicas: How many.
        labels: What the nodes shall be found by.
        taint: The key that a pod must tolerate to run there; "" for none.
        most: Up to how many the cluster may have by itself, as pods ask for them; no autoscaler
            when this is not more than ``replicas``.
    """

    machine_type: str
    zone: str = ""
    replicas: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    taint: str = ""
    most: int = 0


@dataclass(frozen=True)
class Accelerator:
    """A node that offers GPUs.

    Args:
        node: Its name.
        ready: Whether it takes pods.
        count: How many GPUs it offers to pods, 1 or more.
        product: The GPU's name, or "" where the node does not say.
        labels: The node's labels.
        taints: The node's taints as ``key:effect``.
    """

    node: str
    ready: bool
    count: int
    product: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()
