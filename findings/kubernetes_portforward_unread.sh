#!/bin/sh
# kubernetes 36.0.3 (the Python client), with websocket-client 1.9.2 and websockets 16.0 as the API
# server; seen on 2026-11-30.
#
# Expected: `portforward(...).socket(80)` is a socket. To close it ends the forwarded connection,
# whatever was read from it.
# Seen: closed with something unread, as by a caller that has seen enough of an answer, the client's
# own thread ends with ConnectionResetError, printed as a traceback, and the websocket to the API
# server stays open. After `shutdown(SHUT_WR)` and reading to the end, it is closed as expected.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    kubernetes==36.0.3 websocket-client==1.9.2 websockets==16.0
cat >forward.py <<'PYTHON'
import socket
import sys
import threading

from kubernetes import client
from kubernetes.stream import portforward
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

over = threading.Event()


def pod(connection):
    """The API server, and behind it a pod that answers with 8 MB on port 80."""
    port = (80).to_bytes(2, "little")
    try:
        connection.send(b"\x00" + port)  # channel 0: data
        connection.send(b"\x01" + port)  # channel 1: errors
        for _ in range(200):
            connection.send(b"\x00" + b"." * 40_000)
        connection.recv()
    except ConnectionClosed:
        over.set()


how = sys.argv[1]
with serve(pod, "127.0.0.1", 0, subprotocols=["v4.channel.k8s.io"]) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
    api = client.CoreV1Api(client.ApiClient(configuration))
    forwarded = portforward(
        api.connect_get_namespaced_pod_portforward, "pod", "namespace", ports="80"
    )
    there = forwarded.socket(80)
    there.recv(10)
    if how == "read to the end":
        there.shutdown(socket.SHUT_WR)
        while there.recv(65536):
            pass
    there.close()
    print(f"{how}: websocket", "closed" if over.wait(10) else "still open after 10 seconds")
PYTHON
venv/bin/python forward.py "closed at once" >seen 2>errors
venv/bin/python forward.py "read to the end" >>seen 2>>errors
grep -o "^ConnectionResetError.*" errors >>seen || true
cat >expected <<'END'
closed at once: websocket still open after 10 seconds
read to the end: websocket closed
ConnectionResetError: [Errno 104] Connection reset by peer
END
diff expected seen
cat seen
