"""GPU nodes: machines of a cluster that can run the model."""

from workshop.core.checks import Checks
from workshop.core.errors import SettingsError
from workshop.core.progress import stages
from workshop.targets.base import Accelerator, Machines, Target
from workshop.targets.spec import Spec

PART = "gpu-nodes"
RESOURCE = "nvidia.com/gpu"  # What such a node offers to pods.

LABELS = {"node-role.kubernetes.io/gpu": "", "cluster-api/accelerator": "nvidia-gpu"}
"""On the nodes. The first shows as their role; the autoscaler asks for the second."""

TAINT = "nvidia.com/gpu"
"""Keeps other pods away. The GPU operator's DaemonSets and the kit's model tolerate this key, and
with another they would not come to the node."""


class Told(str):
    """A text that a notebook shows as it is, line by line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def add_gpu_nodes(
    target: Target,
    *,
    machine_type: str = "g6.4xlarge",
    zone: str = "",
    replicas: int = 1,
    dry_run: bool = False,
    timeout: float = 1500,
) -> str:
    """Add nodes with a GPU to the cluster; returns what was done, or why nothing was.

    Run twice, it adds nothing: what offers a GPU is reused, whoever made it.

    Args:
        target: The place where the parts run.
        machine_type: The cloud's name of the machine; with one NVIDIA GPU.
        zone: The cloud's zone; "" takes that of the cluster's first worker.
        replicas: How many nodes with a GPU there are to be.
        dry_run: Show what would be made, and what it would cost an hour; change nothing.
        timeout: Seconds until all offer a GPU; the driver alone may take ten minutes.

    Raises ``SettingsError`` where such machines cannot be added, else as ``MachinePool.add``.
    """
    if replicas < 1 or timeout <= 0 or not machine_type:
        raise SettingsError(
            "These GPU nodes cannot be added.",
            where="the parameters",
            state=f"MACHINE_TYPE={machine_type!r}, REPLICAS={replicas}, "
            f"TIMEOUT_SECONDS={timeout:g}",
            hint='at least one replica, some time to wait, and a type such as "g6.4xlarge"',
        )
    offered = _ready(target)
    nothing = f"nothing to add: {_described(offered)}" if len(offered) >= replicas else ""
    wanted = Machines(machine_type, zone, replicas, LABELS, TAINT)
    return _made(target, wanted, nothing, dry_run, timeout)


def scale_gpu_nodes(
    target: Target,
    *,
    machine_type: str = "g6.4xlarge",
    zone: str = "",
    replicas: int = 0,
    most: int = 0,
    dry_run: bool = False,
    timeout: float = 1500,
) -> str:
    """Set the number of nodes with a GPU; returns what was done, or why nothing was.

    It takes, and raises, what ``add_gpu_nodes`` does; 0 ``replicas`` leave the nodes as they are.
    ``most`` is up to how many the cluster may have by itself, as pods ask for them.
    """
    nothing = "left as they are: 0 asked for" if replicas < 1 else ""
    wanted = Machines(machine_type, zone, replicas, LABELS, TAINT, most)
    return _made(target, wanted, nothing, dry_run, timeout)


def _made(target: Target, wanted: Machines, nothing: str, dry_run: bool, timeout: float) -> Told:
    """Add the machines, unless there is ``nothing`` to do, or it cannot be done here."""
    with stages("GPU nodes") as stage:
        if reason := nothing or target.machines.skip_reason():
            stage(f"skipped: {reason}")
            return Told(reason)
        done = target.machines.add(wanted, dry_run=dry_run, timeout=timeout, stage=stage)
        if not dry_run:
            stage(done)
        return Told(done)


def verify_gpu_nodes(target: Target, *, dry_run: bool = False) -> Checks:
    """Prove that a node offers a GPU; where no machines can be added, say why that is skipped.

    Of nodes that were added outside of the cluster, label and taint are their owner's matter. After
    a ``dry_run`` there is nothing to prove, unless a node was there before. Raises ``CheckFailed``.
    """
    reason = target.machines.skip_reason()
    left_out = reason or ("a dry run: nothing was created" if dry_run else None)
    if left_out and not target.machines.accelerators():
        return Checks.skip("GPU nodes", left_out)
    checks = Checks("GPU nodes")
    found = checks.that(
        "a node offers a GPU",
        f"a Ready node with {RESOURCE}: 1 or more",
        lambda: _ready(target),
        show=_described,
        hint="run the cell above, DRY_RUN = False; oc get machines -n openshift-machine-api",
    )
    if found and not reason:
        for name, value in LABELS.items():
            hint = f"oc label node NODE {name}={value}; a MachineSet has it in "
            hint += "spec.template.spec.metadata.labels"
            nodes = [one.node for one in found if one.labels.get(name) == value]
            _check_mark(checks, f"label {name}", f"{name}={value}", nodes, hint)
        taint, hint = f"{TAINT}:NoSchedule", f"oc adm taint node NODE {TAINT}=:NoSchedule"
        nodes = [one.node for one in found if taint in one.taints]
        _check_mark(checks, f"taint {TAINT}", taint, nodes, hint)
    return checks.raise_if_failed()


def _check_mark(checks: Checks, name: str, mark: str, nodes: list[str], hint: str) -> None:
    def show(seen: list[str]) -> str:
        return ", ".join(seen) or "on none of them"

    checks.that(name, f"{mark} on a node with a GPU", lambda: nodes, show=show, hint=hint)


def _ready(target: Target) -> list[Accelerator]:
    return [found for found in target.machines.accelerators() if found.ready]


def _described(found: list[Accelerator]) -> str:
    texts = [f"{one.node} offers {one.count} x {one.product or RESOURCE}" for one in found]
    return ", ".join(texts) or "no Ready node offers one"


SPEC = Spec(name=PART, notebook="01_add_gpu_nodes", on=(), needs=())
