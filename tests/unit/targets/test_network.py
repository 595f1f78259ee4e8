"""The matrix of who may talk to whom, and how it is shown."""

from __future__ import annotations

import pytest
from workshop.parts.catalog import ALL
from workshop.targets import network
from workshop.targets.network import Matrix, Shape, Tried


def tried(allowed: bool, seen: str) -> Tried:
    return Tried("llama-stack", "model", 8080, allowed, seen)


@pytest.mark.parametrize(
    ("allowed", "seen", "agrees"),
    [
        (True, "open", True),
        (True, "timeout", False),
        (True, "refused", False),
        (False, "open", False),
        (False, "timeout", True),
        (False, "refused", True),
        (False, "EHOSTUNREACH", True),
    ],
)
def test_a_way_is_open_or_it_is_not(allowed: bool, seen: str, agrees: bool) -> None:
    assert tried(allowed, seen).agrees is agrees


def test_every_pair_of_peers_and_ports_is_declared_once() -> None:
    matrix = ALL.declared(Shape(guarded=True, routed=True))
    names = [one.name for one in matrix]
    assert len(names) == len(set(names))
    assert {one.source for one in matrix} == {peer.name for peer in ALL.peers}
    assert sum(one.allowed for one in matrix) == len(ALL.ways(Shape(guarded=True, routed=True)))
    assert all(one.agrees for one in matrix)


def test_nobody_without_business_here_may_go_anywhere() -> None:
    for guarded in (True, False):
        for way in network.ways(Shape(guarded, routed=True, exposed=guarded)):
            assert way.source not in ("stranger", "another namespace", "model", "embedder")
            assert way.destination not in ("notebook", "stranger", "another namespace")
            assert way.why


def test_without_a_route_the_router_reaches_nothing() -> None:
    routed = {way.source for way in network.ways(Shape(routed=True))}
    without = {way.source for way in network.ways(Shape())}
    assert routed - without == {"router"}


def test_what_differs_is_marked() -> None:
    matrix = Matrix(
        [
            tried(True, "open"),
            Tried("stranger", "model", 8080, False, "open"),
            Tried("mcp-server", "model", 8080, False, "timeout"),
            Tried("mcp-server", "DNS", 0, True, "timeout"),
        ],
        "not tried: the <router>",
    )
    assert repr(matrix).splitlines() == [
        "             model:8080  DNS",
        "llama-stack  yes",
        "stranger     yes!",
        "mcp-server   no          no!",
        "not tried: the <router>",
    ]
    shown = matrix._repr_html_()
    assert shown.count("rgba(255,0,0,.3)") == 2
    assert shown.count("&#9888;") == 2
    assert "not tried: the &lt;router&gt;" in shown
    assert "title='stranger to model:8080: refused, seen: open'" in shown
