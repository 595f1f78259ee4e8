"""The model: llama.cpp's own server, from a wheel, in vLLM's place."""

import hashlib
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

from workshop.setup import locate
from workshop.targets.base import Part
from workshop.targets.local import preflight
from workshop.targets.local.process import Command, exported

WEIGHTS = "chat-weights"
SCRIPT = Path(__file__).with_name("serve_gguf.py")
TEMPLATE = Path(__file__).with_name("chat-template.jinja")  # Of a chat in which tools are called.


def command(part: Part, ports: Mapping[str, int], folder: Path) -> Command:
    """The default model's weights; an answer has an end."""
    options = (
        f"--chat-template={TEMPLATE}",
        f"--max-tokens={part.settings['max_tokens']}",
        f"--state={folder / state_name()}",
    )
    # In the environment so that an edited template changes the fingerprint and is applied.
    digest = hashlib.sha256(TEMPLATE.read_bytes()).hexdigest()
    return serving(WEIGHTS, part, ports, folder, *options, TEMPLATE_SHA256=digest)


def state_name() -> str:
    """The file with what this server has read with these weights: no other could use it."""
    weights = locate(WEIGHTS)
    read_by = f"{locate('model-server')} {weights} {weights.stat().st_mtime_ns}"
    return f"{hashlib.sha256(read_by.encode()).hexdigest()[:12]}.state"


def threads() -> int:
    """As many as cores may be used, or fewer where ``OMP_NUM_THREADS`` says so."""
    cores, asked = math.ceil(preflight.cores_allowed()), os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(asked)) if re.fullmatch("[1-9][0-9]*", asked) else cores


def serving(
    weights: str, part: Part, ports: Mapping[str, int], folder: Path, *options: str, **env: str
) -> Command:
    """``serve_gguf.py`` under the model server's own Python; the token goes in by environment."""
    return Command(
        argv=(
            str(locate("model-server") / "bin" / "python"),
            str(SCRIPT),
            f"--weights={locate(weights)}",
            f"--port={ports['main']}",
            f"--name={part.settings['name']}",
            f"--context={part.settings['context']}",
            f"--threads={threads()}",
            *options,
        ),
        env={
            "SERVER_TOKEN": part.secrets["token"].reveal(),
            **exported("CUDA_VISIBLE_DEVICES"),
            **env,
        },
        cwd=folder,
    )
