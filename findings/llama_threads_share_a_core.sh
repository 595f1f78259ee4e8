#!/bin/sh
# xllamacpp 2026.10.11549 (llama.cpp's server) on Linux 6.18 with autogroup, seen on 2026-11-29.
#
# Expected: beside one other busy program, on two cores, a server with two threads is half as fast.
# Seen: it is many times slower. Linux shares the cores among sessions (sched_autogroup_enabled is
# 1 by default): the server's two threads together weigh as much as the one busy program, so both
# are put on one core, and at every operation one waits there in a loop for the other. Threads with
# a core each (`strict_cpu`) are half as fast, as expected.
set -eu
[ "$(cat /proc/sys/kernel/sched_autogroup_enabled 2>/dev/null)" = 1 ] || {
    echo "cannot be shown here: it needs Linux with autogroup" >&2
    exit 2
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.5.5
cat >make_model.py <<'PYTHON'
"""A model of 12 layers with random weights: what it says does not matter, only how fast."""
import gguf
import numpy

WIDTH, INNER, LAYERS, HEADS = 256, 704, 12, 4
words = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256))]
T = gguf.TokenType
writer = gguf.GGUFWriter("model.gguf", "llama")
writer.add_context_length(512)
writer.add_embedding_length(WIDTH)
writer.add_block_count(LAYERS)
writer.add_feed_forward_length(INNER)
writer.add_head_count(HEADS)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_tokenizer_model("llama")
writer.add_token_list(words)
writer.add_token_scores([0.0] * len(words))
writer.add_token_types([T.UNKNOWN, T.CONTROL, T.CONTROL] + [T.BYTE] * 256)
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
random = numpy.random.default_rng(0)


def add(name, *shape):
    values = random.normal(0, 0.02, shape) if len(shape) > 1 else numpy.ones(shape)
    writer.add_tensor(name, values.astype("float32"))


add("token_embd.weight", len(words), WIDTH)
add("output_norm.weight", WIDTH)
add("output.weight", len(words), WIDTH)
for n in range(LAYERS):
    for name in ("attn_norm", "ffn_norm"):
        add(f"blk.{n}.{name}.weight", WIDTH)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        add(f"blk.{n}.{name}.weight", WIDTH, WIDTH)
    for name in ("ffn_gate", "ffn_up"):
        add(f"blk.{n}.{name}.weight", INNER, WIDTH)
    add(f"blk.{n}.ffn_down.weight", WIDTH, INNER)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
PYTHON
venv/bin/python make_model.py
cat >serve.py <<'PYTHON'
import os
import signal
import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path, params.port, params.hostnames = "model.gguf", int(sys.argv[1]), ["127.0.0.1"]
params.n_parallel, params.n_ctx = 1, 512
for cpu in (params.cpuparams, params.cpuparams_batch):
    cpu.n_threads = 2
    if sys.argv[2] == "pinned":
        cores = os.sched_getaffinity(0)
        cpu.cpumask = [core in cores for core in range(len(cpu.cpumask))]
        cpu.mask_valid = cpu.strict_cpu = True
server = xllamacpp.Server(params)
signal.pause()
PYTHON
cat >measure.py <<'PYTHON'
"""Tokens per second of a server, alone and beside a busy program, each in a session of its own."""
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

cores = sorted(os.sched_getaffinity(0))[:2]
if len(cores) < 2:
    sys.exit("cannot be shown here: it needs two cores")
os.sched_setaffinity(0, cores)


def start(*words):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, *words], start_new_session=True, **quiet)


def speed(port, tokens):
    body = {"prompt": "abc", "n_predict": tokens, "ignore_eos": True}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/completion",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["timings"]["predicted_per_second"]


beside = {}
for how in ("free", "pinned"):
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    server = start("serve.py", str(port), how)
    busy = None
    try:
        for _ in range(150):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.2)
        speed(port, 8)
        alone = speed(port, 64)
        busy = start("-c", "while True: pass")
        time.sleep(1)
        beside[how] = speed(port, 8)
        print(f"{how:7} alone {alone:7.1f}, beside a busy program {beside[how]:7.1f} tokens/s")
    finally:
        for program in (server, busy):
            if program:
                program.kill()
                program.wait()
if beside["free"] * 3 > beside["pinned"]:
    sys.exit("the behaviour has changed")
PYTHON
venv/bin/python measure.py
