"""llama.cpp's own server, from a wheel, in vLLM's place: of the model, and of the embedder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from workshop.setup import locate
from workshop.targets.base import Part
from workshop.targets.local import preflight
from workshop.targets.local.process import Command, exported

SCRIPT = Path(__file__).with_name("serve_gguf.py")
TEMPLATE = Path(__file__).with_name("chat-template.jinja")


def serving(
    weights: str,
    part: Part,
    ports: Mapping[str, int],
    folder: Path,
    *,
    options: Sequence[str],
    env: Mapping[str, str] | None = None,
) -> Command:
    """``serve_gguf.py`` under the model server's own Python; the token goes in by environment."""
    token = part.secrets["token"]
    return Command(
        argv=(
            str(locate("model-server") / "bin" / "python"),
            str(SCRIPT),
            f"--weights={locate(weights)}",
            f"--port={ports['main']}",
            f"--name={part.settings['name']}",
            f"--context={part.settings['context']}",
            f"--threads={math.ceil(preflight.cores_allowed())}",
            *options,
        ),
        env={
            "SERVER_TOKEN": token.reveal(),
            **exported("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"),
            **(env or {}),
        },
        cwd=folder,
        ports=ports,
        secrets=(token,),
    )
