"""Ctrl-C in a run."""

from __future__ import annotations

import signal

import pytest
from workshop.run import Interrupts


class Kernel:
    """Notes which signals it gets."""

    def __init__(self):
        self.signals = []

    def signal(self, number):
        self.signals.append(number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_interrupts_and_the_second_kills(number):
    said, kernel = [], Kernel()
    with Interrupts(said.append) as interrupts:
        interrupts.kernel = kernel
        signal.raise_signal(number)
        assert kernel.signals == [signal.SIGINT]
        signal.raise_signal(number)
    assert kernel.signals == [signal.SIGINT, signal.SIGKILL]
    assert said == ["stopping this cell: Ctrl-C again ends its kernel at once"]
    assert interrupts.happened


def test_a_step_after_an_interrupted_one_is_interrupted_first_too():
    kernel = Kernel()
    with Interrupts(str) as interrupts:
        signal.raise_signal(signal.SIGINT)
        interrupts.count = 0
        interrupts.kernel = kernel
        signal.raise_signal(signal.SIGINT)
    assert kernel.signals == [signal.SIGINT]


def test_between_two_steps_the_second_signal_ends_the_run():
    with Interrupts(str) as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert interrupts.happened
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_afterwards_signals_mean_what_they_meant_before():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupts(str):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
