"""A port of this machine's loopback that leads to a part's pods, through the API server.

Each connection goes to a pod that is ready at that moment: a restarted pod breaks the connections
that it had, and the next one finds the new pod. Of several pods each gets its turn, as a Service
does it; or one gets all, as with a Service that keeps a client where it was. Everything ends with
this process; nothing is left.
"""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any

from kubernetes import client
from kubernetes.stream import portforward

from workshop.targets.cluster.api import Api, Object

LOOPBACK = "127.0.0.1"

_one_at_a_time = threading.Lock()
"""The client's ``portforward`` swaps a method of its ``ApiClient`` for the time of a call."""


class Forward:
    """Listens until the process ends, or ``close``; ``pods`` gives those that are ready now.

    ``sticky``: whether all connections go to one pod, for as long as it is ready.
    """

    def __init__(
        self, api: Api, pods: Callable[[], list[Object]], port: int, *, sticky: bool = False
    ) -> None:
        self._api = api
        self._pods = pods
        self._port = port
        self._sticky = sticky
        self._turns = itertools.count()
        self._last = ""
        self._listener = socket.create_server((LOOPBACK, 0), backlog=64)
        self.address: str = f"{LOOPBACK}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name=f"forward {port}", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        """Carry one connection; whatever goes wrong, the caller sees a connection that broke."""
        with caller, contextlib.suppress(Exception):
            pod = self._next()
            if not pod:
                return
            there = self._connect(pod)
            ended = False
            try:
                ended = _carry(caller, there.socket(self._port))
            finally:
                there.close()
                if ended:
                    # The client (36.0.3) leaves its connection open when the other side's end came
                    # as a close frame.
                    there.websocket.shutdown()

    def _next(self) -> str:
        """The pod whose turn it is, or "" when none is ready."""
        names = sorted(str(pod["metadata"]["name"]) for pod in self._pods())
        if not names:
            return ""
        if not self._sticky or self._last not in names:
            self._last = names[next(self._turns) % len(names)]
        return self._last

    def _connect(self, pod: str) -> Any:
        with _one_at_a_time:
            own = client.ApiClient(self._api.client.configuration)
            call = client.CoreV1Api(own).connect_get_namespaced_pod_portforward
            return portforward(call, pod, self._api.namespace, ports=str(self._port))


def _carry(here: socket.socket, there: Any) -> bool:
    """Copy both ways until either side ends; gives whether it was the pod's."""
    here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with selectors.DefaultSelector() as ready:
        ready.register(here, selectors.EVENT_READ, there)
        ready.register(there.fileno(), selectors.EVENT_READ, here)
        while True:
            for key, _ in ready.select():
                source = here if key.fileobj is here else there
                data = source.recv(65536)
                if not data:
                    return source is there
                key.data.sendall(data)
