#!/bin/sh
# xllamacpp 2026.10.11549 (llama.cpp's server) on an x86-64 CPU with AVX2, seen on 2026-11-29.
#
# Expected: a server that maps its file of weights (the default) needs about as much memory as the
# file is large, and less than one that reads it.
# Seen: it needs nearly twice as much. For the CPU llama.cpp rearranges most quantised weights into
# a second form in memory ("repack"), and the mapped file stays resident beside it. A server that
# reads the file (`load_mode` NONE) keeps the second form alone.
set -eu
grep -qw avx2 /proc/cpuinfo || {
    echo "cannot be shown here: it needs Linux on a CPU with AVX2" >&2
    exit 2
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.5.5
cat >make_model.py <<'PYTHON'
"""A model with random weights of four bits: what it says does not matter, only its size."""
import gguf
import numpy

WIDTH, INNER, LAYERS, HEADS = 1024, 4096, 16, 16
Q4 = gguf.GGMLQuantizationType.Q4_0
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
    if len(shape) == 1:
        writer.add_tensor(name, numpy.ones(shape, "float32"))
        return
    values = random.normal(0, 0.02, shape).astype("float32")
    writer.add_tensor(name, gguf.quants.quantize(values, Q4), raw_dtype=Q4)


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
"""Starts the server with one way to load, asks it once, and prints its resident megabytes."""
import json
import os
import socket
import sys
import urllib.request

import xllamacpp

with socket.create_server(("127.0.0.1", 0)) as found:
    port = found.getsockname()[1]
params = xllamacpp.CommonParams()
params.model.path, params.port, params.hostnames = "model.gguf", port, ["127.0.0.1"]
params.n_parallel, params.n_ctx = 1, 512
if sys.argv[1] == "read":
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
server = xllamacpp.Server(params)
request = urllib.request.Request(
    f"http://127.0.0.1:{port}/completion",
    json.dumps({"prompt": "abc", "n_predict": 8}).encode(),
    {"Content-Type": "application/json"},
)
urllib.request.urlopen(request, timeout=120).close()
resident = next(line for line in open("/proc/self/status") if line.startswith("VmRSS"))
print(int(resident.split()[1]) // 1000, flush=True)
os._exit(0)
PYTHON
size=$(($(stat -c %s model.gguf) / 1000000))
mapped=$(venv/bin/python serve.py mapped 2>/dev/null | tail -1)
read_=$(venv/bin/python serve.py read 2>/dev/null | tail -1)
echo "weights $size MB; resident with the file mapped $mapped MB, with the file read $read_ MB"
[ $((mapped - read_)) -gt $((size / 2)) ] || {
    echo "the behaviour has changed" >&2
    exit 1
}
