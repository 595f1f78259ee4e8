"""llama.cpp's server in vLLM's place, behind vLLM's command line.

The manifests call ``vllm serve`` and pass vLLM's options; those that llama.cpp has a counterpart
for are obeyed, and what vLLM refuses is refused here too. Middleware is the manifests' own, and
stands before llama.cpp's server as it does before vLLM's. Which weights are served does not follow
``--model``: there are two files, for chat and for embeddings.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import serve_gguf

from vllm.entrypoints import front

CHAT = "/weights/chat.gguf"
EMBEDDING = "/weights/embedding.gguf"
TEMPLATE = "/weights/chat-template.jinja"

READ = Path("/weights/read.state")
"""The agent's instructions, read before; where there is no such file, this one reads them."""

PARSERS = "/parsers.json"
"""The names that the pinned vLLM has."""


def options() -> argparse.Namespace:
    parsers = json.loads(Path(PARSERS).read_text())
    parser = argparse.ArgumentParser(prog="vllm")
    parser.add_argument("command", choices=("serve",))
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 - as vLLM does
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", required=True)
    parser.add_argument("--served-model-name")
    parser.add_argument("--max-model-len", type=int, default=4096)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--runner", choices=("auto", "generate", "pooling"), default="auto")
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    parser.add_argument("--enable-auto-tool-choice", action="store_true")
    parser.add_argument("--tool-call-parser", choices=parsers["tool"])
    parser.add_argument("--reasoning-parser", choices=parsers["reasoning"])
    parser.add_argument("--chat-template")
    parser.add_argument("--middleware", action="append", default=[])
    parser.add_argument("--shutdown-timeout", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.enable_auto_tool_choice and not chosen.tool_call_parser:
        sys.exit("TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser")
    return chosen


def parameters(chosen: argparse.Namespace, port: int) -> Any:
    pooling = chosen.runner == "pooling"
    os.environ["SERVER_TOKEN"] = os.environ.pop("VLLM_API_KEY", "")
    params = serve_gguf.parameters(
        SimpleNamespace(
            weights=EMBEDDING if pooling else CHAT,
            name=chosen.served_model_name or chosen.model,
            port=port,
            context=chosen.max_model_len,
            embedding=pooling,
            chat_template=TEMPLATE,
            max_tokens=512,
            state=READ,
            threads=len(os.sched_getaffinity(0)),
        )
    )
    params.api_keys = [key for key in params.api_keys if key]
    return params


def main() -> None:
    import xllamacpp

    sys.stderr.write(f"INFO vllm: serving {sys.argv[1:]}\n")
    # As a container's first process it would not even notice SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    chosen, behind = options(), front.free_port()
    params = parameters(chosen, behind)
    server = xllamacpp.Server(params)
    if params.slot_save_path:
        serve_gguf.keep(behind, "".join(params.api_keys), READ, "restore")
    sys.stderr.write("INFO: Application startup complete.\n")
    try:
        asyncio.run(front.serve(chosen.host, chosen.port, behind, chosen.middleware))
    finally:
        del server


if __name__ == "__main__":
    main()
