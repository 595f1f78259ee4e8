"""Serves a GGUF file through llama.cpp's HTTP server. Runs in the model server's environment.

The server answers ``/health`` to everybody and everything else with the token alone, which comes
in the environment variable ``SERVER_TOKEN``. Written against xllamacpp 2026.10.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
from pathlib import Path
from typing import Any

WORTH_KEEPING = 512  # Tokens: a question to the agent has more, one of the checks has fewer.


def parameters(options: argparse.Namespace) -> Any:
    """llama.cpp's settings for a chat model, or for an embedder."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options.weights
    params.model_alias = {options.name}
    params.hostnames = ["127.0.0.1"]
    params.port = options.port
    params.api_keys = [os.environ.pop("SERVER_TOKEN")]
    params.endpoint_metrics = True
    # Read, not mapped: llama.cpp makes a second form of most weights for the CPU, and the mapped
    # file stays in memory beside it. 1.7 GB in place of 2.3, for 0.5 s at the start.
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
    params.n_parallel = 1
    params.n_ctx = options.context
    # A prompt's state is kept in memory to be used again; the default keeps up to 8 GiB of them.
    params.cache_ram_mib = 1024
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = options.threads
        # Threads without work sleep. By default they spin, and take a core from other programs.
        cpu.poll = 0
        _pin(cpu)
    if options.embedding:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        params.n_batch = params.n_ubatch = options.context
        return params
    # The server looks between two batches whether a question was given up. This many tokens take
    # two seconds on two cores, and a prompt is read as fast as in one batch.
    params.n_batch = params.n_ubatch = 128
    if options.state:
        params.slot_save_path = str(options.state.parent) + os.sep
    params.use_jinja = True
    params.n_predict = options.max_tokens
    params.chat_template = Path(options.chat_template).read_text(encoding="utf-8")
    # After a call this small model likes to write a second one, made up, into the same turn. Its
    # first call starts the turn, so only a further one has a line break before the fence.
    params.antiprompt = ["\n```json"]
    return params


def _pin(cpu: Any) -> None:
    """Give each thread a core of its own, where there are as many of them as cores.

    Linux shares the cores among terminal sessions, not threads, so beside another busy program it
    puts two of these threads on one core. Each then waits there for the other at every operation:
    on two cores 0.3 tokens per second, with pinned threads 3.5, and 11 with nothing beside.
    """
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    if cpu.n_threads == len(cores):
        cpu.cpumask = [core in cores for core in range(len(cpu.cpumask))]
        cpu.mask_valid = cpu.strict_cpu = True


def keep(port: int, token: str, state: Path, action: str) -> None:
    """Have the server ``save`` what it read last, such as the agent's instructions, or restore it.

    Without it the first question after each start waits until they are read again. Nothing depends
    on it: a server that is busy, or a file that it does not take, is left alone.
    """
    name = state.name + (".new" if action == "save" else "")
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        body = json.dumps({"filename": name})
        connection.request("POST", f"/slots/0?action={action}", body, headers)
        done = json.loads(connection.getresponse().read())
        if done.get("n_saved", 0) >= WORTH_KEEPING:
            state.with_name(name).replace(state)
        elif action == "save":
            state.with_name(name).unlink(missing_ok=True)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--name", required=True)
    parser.add_argument("--context", required=True, type=int, help="tokens")
    parser.add_argument("--threads", required=True, type=int)
    parser.add_argument("--max-tokens", type=int, default=512, help="the longest answer")
    parser.add_argument("--chat-template")
    parser.add_argument("--state", type=Path, help="where what was read outlives the server")
    parser.add_argument("--embedding", action="store_true", help="serve embeddings, not chat")
    options = parser.parse_args()

    import xllamacpp

    token = os.environ["SERVER_TOKEN"]
    _server = xllamacpp.Server(parameters(options))  # It serves as long as it is referred to.
    if options.state:
        keep(options.port, token, options.state, "restore")
        # The server runs in threads of its own, and any of them may get the signal.
        heard, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told)
        signal.signal(signal.SIGTERM, lambda *_: None)
        os.read(heard, 1)
        keep(options.port, token, options.state, "save")
        os._exit(0)
    signal.pause()


if __name__ == "__main__":
    main()
