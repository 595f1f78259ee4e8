"""Which pod a forwarded connection goes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workshop.cluster.forward import Forward


@contextmanager
def forward(names: list[str], *, sticky: bool) -> Iterator[Forward]:
    """A port that leads to these pods, as long as they are in the list."""
    nobody: Any = None
    made = Forward(
        nobody, lambda: [{"metadata": {"name": name}} for name in names], 80, sticky=sticky
    )
    yield made
    made.close()


def test_each_pod_gets_its_turn() -> None:
    with forward(["b", "a"], sticky=False) as made:
        assert [made._next() for _ in range(5)] == ["a", "b", "a", "b", "a"]


def test_a_client_stays_with_its_pod_until_that_goes() -> None:
    names = ["a", "b"]
    with forward(names, sticky=True) as made:
        first = made._next()
        assert {made._next() for _ in range(5)} == {first}
        names.remove(first)
        assert {made._next() for _ in range(3)} == {"a", "b"} - {first}


def test_without_a_ready_pod_there_is_none() -> None:
    with forward([], sticky=False) as made:
        assert made._next() == ""
