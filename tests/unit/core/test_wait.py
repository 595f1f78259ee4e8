"""The one waiting loop: ready, failed, too slow."""

from __future__ import annotations

import itertools
import math
import re
import time

import pytest
from workshop.core import progress
from workshop.core.errors import PartFailed, PartTooSlow
from workshop.core.progress import Stages
from workshop.core.wait import NotYet, wait_for

pytestmark = pytest.mark.timeout(30)


class Lines:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool]] = []

    def line(self, subject: str, text: str, *, replaces: bool) -> None:
        self.seen.append((f"{subject}: {text[10:]}", replaces))


@pytest.fixture
def lines():
    sink = Lines()
    progress.use(sink)
    yield sink.seen
    progress.use(None)


def test_what_is_there_is_given_at_once():
    began = time.monotonic()
    assert wait_for("it", lambda: "there", timeout=10, every=5) == "there"
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("value", [0, "", [], None, False])
def test_an_empty_value_is_a_value(value):
    assert wait_for("it", lambda: value, timeout=10) == value


def test_it_asks_until_it_is_there():
    answers = iter([NotYet("a"), NotYet("b"), "there"])
    assert wait_for("it", lambda: next(answers), timeout=10, every=0.01) == "there"


def test_too_slow_says_what_was_awaited_and_the_last_state():
    answers = iter(NotYet(f"{number} of 3 pods") for number in range(10_000))
    with pytest.raises(PartTooSlow) as error:
        wait_for(
            "MongoDB to answer",
            lambda: next(answers),
            timeout=0.3,
            every=0.1,
            where="mongodb://127.0.0.1:27017",
            log=lambda: ["starting", "still starting"],
            hint="workshop logs mongodb",
        )
    last = error.value.state
    assert last[0] in "234"
    assert str(error.value) == (
        "Waited 0.3 s for MongoDB to answer.\n"
        "  Where: mongodb://127.0.0.1:27017\n"
        f"  Last state: {last}\n"
        "  Last log lines:\n"
        "    starting\n"
        "    still starting\n"
        "  Hint: workshop logs mongodb"
    )


def test_whole_seconds_are_shown_whole():
    with pytest.raises(PartTooSlow, match=r"^Waited 0 s for it\."):
        wait_for("it", lambda: NotYet("no"), timeout=0)


def test_it_asks_a_last_time_when_the_time_is_up():
    asked = []

    def probe():
        asked.append(time.monotonic())
        return "there" if len(asked) == 2 else NotYet("no")

    assert wait_for("it", probe, timeout=0.2, every=60) == "there"
    assert 0.2 <= asked[1] - asked[0] < 2


def test_a_failure_ends_it_at_once():
    def probe():
        raise PartFailed("It ended.")

    began = time.monotonic()
    with pytest.raises(PartFailed, match=r"It ended\."):
        wait_for("it", probe, timeout=60)
    assert time.monotonic() - began < 1


def test_without_a_limit_it_goes_on():
    answers = iter([NotYet("a"), "there"])
    assert wait_for("it", lambda: next(answers), timeout=math.inf, every=0.01) == "there"


def test_a_long_wait_shows_its_state_in_one_line(lines):
    stage = Stages("Model")
    stage("starting")
    numbers = itertools.count()

    def probe():
        return "there" if len(lines) == 3 else NotYet(f"{next(numbers)} loaded")

    assert wait_for("the model", probe, timeout=20, every=0.05, stage=stage) == "there"
    assert [(re.sub(r"\d+", "N", text), replaces) for text, replaces in lines] == [
        ("Model: starting", False),
        ("Model: waiting for the model: N loaded", False),
        ("Model: waiting for the model: N loaded", True),
    ]


def test_a_short_wait_shows_nothing(lines):
    answers = iter([NotYet("a"), "there"])
    wait_for("it", lambda: next(answers), timeout=9, every=0.01, stage=Stages("Model"))
    assert lines == []
