"""What is made of measured numbers: the bottleneck, the table, the pictures."""

from __future__ import annotations

import pytest
from workshop.core.errors import SettingsError
from workshop.core.table import Table
from workshop.operate import load
from workshop.operate.load import CHAT, COUNT, HISTORY, MODEL, TOOL, Load, Point


def series(name: str, half: float, replicas: int = 1) -> Table[Point]:
    first = Point(name, replicas, 1, 50, 0, 10.0, half / 4, half / 2)
    return Table([first, Point(name, replicas, 4, 100, 0, 12.5, half, 2 * half)])


def measured(**half: float) -> Load:
    names = {"chat": CHAT, "model": MODEL, "tool": TOOL, "count": COUNT, "history": HISTORY}
    return Load({names[key]: series(names[key], value) for key, value in half.items()})


def test_the_part_that_takes_most_of_the_time_is_the_bottleneck() -> None:
    chat, tool = load.find_bottleneck(measured(chat=2.0, model=1.9, tool=0.1, count=0.01))
    assert (chat.bottleneck, chat.share, chat.users) == ("model", 0.95, 4)
    assert (tool.bottleneck, tool.share) == ("mcp-server", 0.1)
    slow, _ = load.find_bottleneck(measured(chat=2.0, model=0.4, tool=0.1, count=0.01))
    assert (slow.bottleneck, slow.share) == ("llama-stack", 0.2)


def test_a_share_is_never_more_than_all() -> None:
    chat, *_ = load.find_bottleneck(measured(chat=1.0, model=1.2))
    assert chat.share == 1.0


def test_without_the_database_only_the_chat_is_judged() -> None:
    (only,) = load.find_bottleneck(measured(chat=1.0, model=0.5, history=0.1))
    assert only.request == CHAT


def test_nothing_answered_is_no_bottleneck() -> None:
    nothing = Table([Point(CHAT, 1, 1, 0, 3, 0.0, 0.0, 0.0, "refused")])
    found = Load({CHAT: nothing, MODEL: series(MODEL, 1.0)})
    (only,) = load.find_bottleneck(found)
    assert only.share == 0.0


def test_the_table_has_a_row_a_request_and_number_of_users() -> None:
    shown = repr(measured(chat=2.0, model=1.0)).splitlines()
    assert len(shown) == 5
    assert shown[0].split()[:3] == ["request", "replicas", "users"]


def test_the_picture_has_each_request_twice_before_and_after() -> None:
    before = measured(chat=2.0, model=1.9, history=0.1)
    after = Load({HISTORY: series(HISTORY, 0.05, replicas=2)})
    panels = {axes.get_title(loc="left"): axes for axes in load.plot_load(before, after).axes}
    assert len(panels) == 2 * 3
    rate = {line.get_label(): line for line in panels[f"Throughput: {HISTORY}"].get_lines()}
    assert list(rate) == ["before, 1 replica", "after, 2 replicas"]
    assert rate["after, 2 replicas"].get_xydata().tolist() == [
        [point.users, point.per_second] for point in after.series[HISTORY]
    ]
    within = [line.get_label() for line in panels[f"Answered within: {HISTORY}"].get_lines()]
    assert within == ["before, half", "before, 95 %", "after, half", "after, 95 %"]
    alone = [line.get_label() for axes in load.plot_load(before).axes for line in axes.lines]
    assert set(alone) == {"1 replica", "half", "95 %"}


def test_users_double_up_to_the_most() -> None:
    assert load.steps(1) == [1]
    assert load.steps(4) == [1, 2, 4]
    assert load.steps(5) == [1, 2, 4, 5]
    with pytest.raises(SettingsError) as refused:
        load.steps(1000)
    assert str(refused.value).startswith("1000 users cannot be simulated.")
    assert "Hint: 1 to 64" in str(refused.value)
