#!/bin/sh
# xllamacpp 2026.10.11549 (llama.cpp's server), seen on 2026-11-30.
#
# Expected: when a client closes its connection while the server reads its prompt, the server stops
# reading, as vLLM does between two steps.
# Seen: it looks for that only between two batches, and a batch has 2048 tokens by default (the
# physical ones of 512 do not count). So a prompt that fits into one is read to its end for nobody:
# on two cores and with a model of 1.5 billion parameters that is half a minute in which no other
# question is answered. With `n_batch` 128 it stops, and reads no slower.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.5.5
cat >make_model.py <<'PYTHON'
"""A model of 12 layers with random weights: it only has to need some seconds for a prompt."""
import gguf
import numpy

WIDTH, INNER, LAYERS, HEADS = 1024, 2816, 12, 16
words = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256))]
T = gguf.TokenType
writer = gguf.GGUFWriter("model.gguf", "llama")
writer.add_context_length(4096)
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
cat >ask.py <<'PYTHON'
"""How many tokens of a prompt of 2000 are read after its client has gone, by the server's count."""
import json
import os
import re
import socket
import sys
import time
import urllib.request

import xllamacpp

os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
with socket.create_server(("127.0.0.1", 0)) as found:
    port = found.getsockname()[1]
params = xllamacpp.CommonParams()
params.model.path, params.port, params.hostnames = "model.gguf", port, ["127.0.0.1"]
params.n_parallel, params.n_ctx, params.endpoint_metrics = 1, 4096, True
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
if len(sys.argv) > 1:
    params.n_batch = int(sys.argv[1])
batch = params.n_batch
server = xllamacpp.Server(params)


def ask(prompt):
    body = json.dumps({"prompt": prompt, "n_predict": 1, "stream": True}).encode()
    head = f"POST /completion HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(head.encode() + body)
    return client


def read():
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=120) as page:
        return int(re.search(r"^llamacpp:prompt_tokens_total (\d+)", page.read().decode(), re.M)[1])


before = read()
with ask("a" * 2000):
    time.sleep(0.5)
with ask("b") as client:  # It waits for its turn.
    while client.recv(65536):
        pass
for_nobody = read() - before
print(f"batches of {batch}: {for_nobody} tokens were read: the prompt has 2000, the next one a few", flush=True)
os._exit(0 if (for_nobody >= 2000) == (batch >= 2000) else 1)
PYTHON
for batch in "" 128; do
    venv/bin/python ask.py $batch 2>/dev/null || {
        echo "the behaviour has changed, or these cores are too fast to show it"
        exit 1
    }
done
