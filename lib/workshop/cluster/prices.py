"""What a machine with a GPU has, and what it costs: a few of AWS's types."""

from __future__ import annotations

from dataclasses import dataclass

REGION = "us-east-1"


@dataclass(frozen=True)
class MachineType:
    """One type.

    Args:
        gpu: The GPU's name; each of these types has one.
        gpu_gb: Its memory in GB, as the maker counts.
        dollars: USD an hour, on demand, Linux, in ``REGION``. Without disk and traffic.
    """

    gpu: str
    gpu_gb: int
    dollars: float


# From public price lists, read in November 2026: https://aws.amazon.com/ec2/pricing/on-demand/
# says what is true today and elsewhere.
TYPES = {
    "g6.xlarge": MachineType("NVIDIA L4", 24, 0.8048),
    "g6.2xlarge": MachineType("NVIDIA L4", 24, 0.9776),
    "g6.4xlarge": MachineType("NVIDIA L4", 24, 1.3232),
    "g6.8xlarge": MachineType("NVIDIA L4", 24, 2.0144),
    "g5.xlarge": MachineType("NVIDIA A10G", 24, 1.006),
    "g4dn.xlarge": MachineType("NVIDIA T4", 16, 0.526),
}


def described(machine_type: str, replicas: int) -> str:
    """In one line: how many, of what, with which GPU, at which price."""
    known = TYPES.get(machine_type)
    if known is None:
        return f"{replicas} x {machine_type}; the kit does not know its GPU and its price"
    total = replicas * known.dollars
    return (
        f"{replicas} x {machine_type} with one {known.gpu} ({known.gpu_gb} GB): "
        f"about {total:.2f} USD an hour in all, on demand in {REGION}; check it for your region"
    )
