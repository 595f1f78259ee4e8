"""On one machine, loopback is the border: every port is tried from both sides of it."""

from __future__ import annotations

import os
import socket

import pytest
from workshop.core.progress import Stages
from workshop.targets.local import ports
from workshop.targets.local.ports import Loopback
from workshop.targets.local.process import Record
from workshop.targets.network import Matrix

pytestmark = pytest.mark.timeout(60)


def record(port: int) -> Record:
    """A part that is this very process, with this port."""
    return Record(os.getpid(), 0.0, ["part"], [], "/", {"main": port}, "1", "now")


@pytest.fixture
def at():
    """Listen on an address of this machine, and be found there alone."""
    held = []

    def listen(address: str) -> int:
        held.append(socket.create_server((address, 0)))
        port: int = held[-1].getsockname()[1]
        return port

    yield listen
    for one in held:
        one.close()


def loopback(port: int) -> Loopback:
    return Loopback(lambda: {"part": record(port)})


def tried(port: int) -> Matrix:
    return loopback(port).tried(stage=Stages("Network", quiet=True))


def ways(port: int) -> dict[str, tuple[bool, str]]:
    found = tried(port)
    return {one.source: (one.agrees, one.seen) for one in found if one.port == port}


def test_what_listens_on_loopback_is_reached_from_here_alone(at):
    seen = ways(at("127.0.0.1"))
    assert seen == {"this machine": (True, "open"), "another machine": (True, "refused")}


def test_what_listens_everywhere_is_noticed(at):
    seen = ways(at("0.0.0.0"))  # noqa: S104
    assert seen == {"this machine": (True, "open"), "another machine": (False, "open")}


def test_a_port_on_which_nobody_listens_is_noticed(at):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    seen = ways(port)
    assert seen["this machine"] == (False, "refused")


def test_a_port_that_nobody_declared_is_tried_too(at):
    declared, other = at("127.0.0.1"), at("0.0.0.0")  # noqa: S104
    found = tried(declared)
    wrong = {one.port for one in found if not one.agrees}
    assert other in wrong
    assert declared not in wrong
    assert ("127.0.0.1", declared) in ports.sockets(os.getpid())


def test_what_is_declared_is_one_row_for_each_side(at):
    port = at("127.0.0.1")
    shown = loopback(port).declared()
    assert repr(shown).split("\n")[1:] == ["this machine     yes", "another machine  no"]
