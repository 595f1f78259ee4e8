#!/bin/sh
# OGX 1.5.0, seen on 2026-11-28; Llama Stack 0.7.3 does the same.
#
# Expected: who puts another embedding model, with another dimension, behind a name changes
# `registered_resources.models` in the configuration, and starts the server again.
# Seen: a server that has kept the model once ends at its start when the configuration says another
# dimension: "already exists with conflicting field values". What helps is another `provider_id`.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ogx==1.5.0 aiosqlite==0.22.1 httpx==0.28.1
port=$(venv/bin/python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
configured() {
    cat >config.yaml <<YAML
version: 2
distro_name: test
apis: [inference]
providers:
  inference:
    - provider_id: $1
      provider_type: remote::vllm
      config: {base_url: "http://127.0.0.1:9/v1", api_token: none}
storage:
  backends:
    keys: {type: kv_sqlite, db_path: "$work/keys.db"}
    tables: {type: sql_sqlite, db_path: "$work/tables.db"}
  stores:
    metadata: {namespace: registry, backend: keys}
    inference: {table_name: inference, backend: tables}
    conversations: {table_name: conversations, backend: tables}
    prompts: {table_name: prompts, backend: tables}
    connectors: {table_name: connectors, backend: tables}
registered_resources:
  models:
    - model_id: small
      provider_id: $1
      provider_model_id: small
      model_type: embedding
      metadata: {embedding_dimension: $2}
server: {host: 127.0.0.1, port: $port}
YAML
}
# Prints the models' names, or the server's last line when it ends by itself.
started() {
    venv/bin/ogx stack run --insecure config.yaml >server.log 2>&1 &
    server=$!
    PORT=$port SERVER=$server venv/bin/python - <<'PYTHON'
import json, os, time, urllib.request

end = time.monotonic() + 90
while time.monotonic() < end:
    try:
        address = f"http://127.0.0.1:{os.environ['PORT']}/v1/models"
        with urllib.request.urlopen(address, timeout=5) as answer:
            print("models:", *(one["id"] for one in json.load(answer)["data"]))
        break
    except OSError:
        try:
            with open(f"/proc/{os.environ['SERVER']}/stat") as file:
                ended = file.read().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            ended = True
        if ended:
            words = " ".join(open("server.log").read().split())
            known = "already exists with conflicting field values" in words
            print("ended:", "it knows the model with another dimension" if known else words[-300:])
            break
        time.sleep(0.3)
PYTHON
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
}
configured one 384
first=$(started)
configured one 768
second=$(started)
configured two 768
third=$(started)
printf '%s\n' "$first" "$second" "$third"
case "$first|$second|$third" in
"models: one/"*"|ended: it knows the model with another dimension|models: "*" two/"*) ;;
*)
    echo "the behaviour has changed" >&2
    exit 1
    ;;
esac
