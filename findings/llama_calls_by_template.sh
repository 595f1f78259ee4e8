#!/bin/sh
# xllamacpp 2026.10.11549 (llama.cpp's server), seen on 2026-11-30.
#
# Expected: whether the server recognises a model's tool call depends on what the model writes.
# Seen: it depends on how the chat template shows calls of earlier turns, also in a conversation that
# has none. The server renders such a turn and learns from it. Where the template puts words before
# a past call ("The call:"), the same call, written without them, comes back as plain text.
#
# The model here knows one text by heart: from each of its tokens it goes to the next.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.5.5
cat >make_model.py <<'PYTHON'
import gguf
import numpy

WIDTH, CALL = 512, ["```", 'json\n{"name": ', '"count", "arguments"', ": {}}\n", "``", "`"]
T = gguf.TokenType
words = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), *CALL]
order = [words.index(word) for word in ("<0x0A>", *CALL, "</s>")]
writer = gguf.GGUFWriter("model.gguf", "llama")
writer.add_context_length(2048)
writer.add_embedding_length(WIDTH)
writer.add_block_count(1)
writer.add_feed_forward_length(WIDTH)
writer.add_head_count(8)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_tokenizer_model("llama")
writer.add_token_list(words)
writer.add_token_scores([0.0] * len(words))
kinds = [T.UNKNOWN, T.CONTROL, T.CONTROL] + [T.BYTE] * 256 + [T.USER_DEFINED] * len(CALL)
writer.add_token_types(kinds)
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_add_space_prefix(False)
known = numpy.eye(len(words), WIDTH, dtype="float32")
follows = numpy.zeros((len(words), WIDTH), "float32")
for now, then in zip(order, order[1:]):
    follows[then, now] = 1.0
writer.add_tensor("token_embd.weight", known)
writer.add_tensor("output_norm.weight", numpy.ones(WIDTH, "float32"))
writer.add_tensor("output.weight", follows)
for name in ("attn_norm", "ffn_norm"):
    writer.add_tensor(f"blk.0.{name}.weight", numpy.ones(WIDTH, "float32"))
for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
    writer.add_tensor(f"blk.0.{name}.weight", numpy.zeros((WIDTH, WIDTH), "float32"))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
PYTHON
venv/bin/python make_model.py
cat >ask.py <<'PYTHON'
"""Asks once, with these words before a past call in the template; prints what came back."""
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
params.n_parallel, params.n_ctx, params.use_jinja = 1, 2048, True
params.chat_template = (
    "{% for m in messages %}[{{ m.role }}]\n"
    "{% if m.tool_calls %}{% for call in m.tool_calls %}" + sys.argv[1] + "```json\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n'
    "```{% endfor %}{% else %}{{ m.content }}{% endif %}</s>{% endfor %}"
    "{% if tools %}{% for t in tools %}{{ t.function.name }} {% endfor %}{% endif %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
server = xllamacpp.Server(params)
tool = {"name": "count", "description": "", "parameters": {"type": "object", "properties": {}}}
asked = {
    "messages": [{"role": "user", "content": "How many?"}],
    "tools": [{"type": "function", "function": tool}],
    "temperature": 0,
    "max_tokens": 20,
}
request = urllib.request.Request(
    f"http://127.0.0.1:{port}/v1/chat/completions",
    json.dumps(asked).encode(),
    {"Content-Type": "application/json"},
)
with urllib.request.urlopen(request, timeout=120) as answer:
    message = json.load(answer)["choices"][0]["message"]
calls = [call["function"]["name"] for call in message.get("tool_calls") or []]
print("calls", calls, "text", repr(message.get("content") or ""), flush=True)
os._exit(0)
PYTHON
plain=$(venv/bin/python ask.py "" 2>/dev/null | tail -1)
words=$(venv/bin/python ask.py "The call:
" 2>/dev/null | tail -1)
echo "past calls shown as they are:    $plain"
echo "past calls shown after words:    $words"
case "$plain / $words" in
"calls ['count'] text '' / calls [] text '\`\`\`json"*) ;;
*)
    echo "the behaviour has changed" >&2
    exit 1
    ;;
esac
