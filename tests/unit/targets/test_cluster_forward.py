"""Which pod a forwarded connection goes to."""

from __future__ import annotations

import base64
import gc
import hashlib
import itertools
import select
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from kubernetes import client
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.endpoints import Forward

ACCEPTED = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What a WebSocket server answers the client's key with (RFC 6455)."""


@contextmanager
def forward(names: list[str], *, sticky: bool) -> Iterator[Forward]:
    """A port that leads to these pods, as long as they are in the list."""
    nobody: Any = None
    made = Forward(
        nobody, lambda: [{"metadata": {"name": name}} for name in names], 80, sticky=sticky
    )
    yield made
    made.shutdown()
    made.server_close()


def test_each_pod_gets_its_turn() -> None:
    with forward(["b", "a"], sticky=False) as made:
        assert [made.next_pod() for _ in range(5)] == ["a", "b", "a", "b", "a"]


def test_a_client_stays_with_its_pod_until_that_goes() -> None:
    names = ["a", "b"]
    with forward(names, sticky=True) as made:
        first = made.next_pod()
        assert {made.next_pod() for _ in range(5)} == {first}
        names.remove(first)
        assert {made.next_pod() for _ in range(3)} == {"a", "b"} - {first}


def test_without_a_ready_pod_there_is_none() -> None:
    with forward([], sticky=False) as made:
        assert made.next_pod() == ""


def frame(opcode: int, data: bytes) -> bytes:
    short = len(data) < 126
    size = bytes([len(data)]) if short else b"\x7e" + len(data).to_bytes(2, "big")
    return bytes([0x80 | opcode]) + size + data


CLOSED = frame(8, (1000).to_bytes(2, "big"))


def pour(there: socket.socket, answers: Iterable[bytes], full: threading.Event) -> None:
    """Send these until the client closes; says when it is full.

    That is: it took more than the buffers behind it hold, or nothing for a second.
    """
    there.settimeout(1)
    for count, one in enumerate(answers):
        rest = one
        while rest:
            if count == 250:
                full.set()
            try:
                rest = rest[there.send(rest) :]
            except TimeoutError:
                full.set()
            if select.select([there], [], [], 0)[0]:
                there.settimeout(None)
                there.sendall(rest + CLOSED)
                return
    there.settimeout(None)


def answer_once(listener: socket.socket, answers: Iterable[bytes], full: threading.Event) -> None:
    """An API server that forwards one port to a pod, which sends this, until the client ends it."""
    there, _ = listener.accept()
    with there, there.makefile("rb") as asked:
        head = {}
        while line := asked.readline().strip():
            name, _, value = line.decode().partition(": ")
            head[name.lower()] = value
        key = hashlib.sha1(head["sec-websocket-key"].encode() + ACCEPTED.encode()).digest()  # noqa: S324
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Accept: {base64.b64encode(key).decode()}"]
        lines += ["Sec-WebSocket-Protocol: v4.channel.k8s.io", "", ""]
        there.sendall("\r\n".join(lines).encode())
        port = (80).to_bytes(2, "little")
        there.sendall(frame(2, b"\x00" + port) + frame(2, b"\x01" + port))
        with suppress(OSError):
            pour(there, answers, full)
            while there.recv(4096):
                pass


@contextmanager
def connected(
    answers: Iterable[bytes], full: threading.Event | None = None
) -> Iterator[socket.socket]:
    """A caller of a pod that sends this; in the end nothing is open any more."""
    configuration = client.Configuration()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        configuration.host = f"http://127.0.0.1:{listener.getsockname()[1]}"
        asked = (listener, answers, full or threading.Event())
        server = threading.Thread(target=answer_once, args=asked, daemon=True)
        server.start()
        api = Api(client.ApiClient(configuration), "team")
        made = Forward(api, lambda: [{"metadata": {"name": "pod"}}], 80)
        host, _, port = made.address.partition(":")
        with socket.socket() as caller:
            caller.settimeout(20)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.connect((host, int(port)))
            yield caller
        # It ends when the client has closed its connection to the API server.
        server.join(20)
        assert not server.is_alive()
        made.shutdown()
        made.server_close()
    gc.collect()


def test_a_connection_that_the_pod_ends_leaves_nothing_open() -> None:
    with connected([frame(2, b"\x00served"), CLOSED]) as caller:
        assert caller.recv(100) == b"served"
        assert caller.recv(100) == b""


def test_a_caller_that_goes_without_reading_leaves_nothing_open() -> None:
    # Without an end: whatever the buffers hold, something is unread when the caller goes.
    endless = itertools.repeat(frame(2, b"\x00" + b"." * 60_000), 5_000)
    full = threading.Event()
    with connected(endless, full):
        assert full.wait(30)
    assert next(endless, None), "the pod sent all of it to nobody"
