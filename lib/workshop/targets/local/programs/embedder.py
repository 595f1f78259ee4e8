"""The embedder: the model's server, with a model that makes vectors."""

from collections.abc import Mapping
from pathlib import Path

from workshop.targets.base import Part
from workshop.targets.local.process import Command
from workshop.targets.local.programs.model import serving


def command(part: Part, ports: Mapping[str, int], folder: Path) -> Command:
    """The embedding model's weights."""
    return serving("embedding-weights", part, ports, folder, "--embedding")
