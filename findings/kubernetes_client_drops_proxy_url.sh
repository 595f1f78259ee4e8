#!/bin/sh
# kubernetes 36.0.3 (Python), seen on 2026-11-28.
#
# Expected: the official client reads a kubeconfig as kubectl does, for which `proxy-url` of a
# cluster is the way to its API server.
# Seen: `load_kube_config` passes over `proxy-url` without a word, while it honours
# `tls-server-name` beside it. The client then goes to the server directly.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check kubernetes==36.0.3
cat >config <<'YAML'
apiVersion: v1
kind: Config
current-context: here
clusters:
  - name: here
    cluster:
      server: https://127.0.0.1:6443
      proxy-url: http://127.0.0.1:3128
      tls-server-name: api.example.com
contexts:
  - name: here
    context: {cluster: here, user: me}
users:
  - name: me
    user: {token: none}
YAML
env -u HTTP_PROXY -u HTTPS_PROXY -u ALL_PROXY -u http_proxy -u https_proxy -u all_proxy \
    venv/bin/python - <<'PYTHON'
import sys

from kubernetes import client, config

read = client.Configuration()
config.load_kube_config("config", client_configuration=read)
print("server:         ", read.host)
print("tls-server-name:", read.tls_server_name)
print("proxy-url:      ", read.proxy)
if (read.tls_server_name, read.proxy) != ("api.example.com", None):
    sys.exit("the behaviour has changed")
PYTHON
