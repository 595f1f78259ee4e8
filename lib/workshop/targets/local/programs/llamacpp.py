"""The model and the embedder: llama.cpp's own server, from a wheel, in vLLM's place."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

from workshop.setup import locate
from workshop.targets.base import Part
from workshop.targets.local import preflight
from workshop.targets.local.process import Command, exported

SCRIPT = Path(__file__).with_name("serve_gguf.py")
TEMPLATE = Path(__file__).with_name("chat-template.jinja")


def command(part: Part, ports: Mapping[str, int], folder: Path) -> Command:
    """``serve_gguf.py`` under the model server's own Python; the token goes in by environment."""
    chat = part.name == "model"
    argv = [
        str(locate("model-server") / "bin" / "python"),
        str(SCRIPT),
        f"--weights={locate('chat-weights' if chat else 'embedding-weights')}",
        f"--port={ports['main']}",
        f"--name={part.settings['name']}",
        f"--context={part.settings['context']}",
        f"--threads={math.ceil(preflight.cores_allowed())}",
    ]
    token = part.secrets["token"]
    env = {"SERVER_TOKEN": token.reveal(), **exported("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
    if chat:
        argv += [f"--chat-template={TEMPLATE}", f"--max-tokens={part.settings['max_tokens']}"]
        # In the environment so that an edited template changes the fingerprint and is applied.
        env["TEMPLATE_SHA256"] = hashlib.sha256(TEMPLATE.read_bytes()).hexdigest()
    else:
        argv += ["--embedding"]
    return Command(
        argv=tuple(argv),
        env=env,
        cwd=folder,
        ports=ports,
        secrets=(token,),
    )
