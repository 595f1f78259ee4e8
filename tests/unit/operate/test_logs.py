"""Logs: the newest lines of all parts, filtered, and never a credential."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from workshop.core.errors import SettingsError, StepMissing
from workshop.operate.logs import since, stamped, tail_logs, whole

STARTED = "--- started 2026-11-25T10:00:00+01:00 /usr/bin/llama --port=8080"


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("INFO     2026-11-25T20:27:59.480812Z  127.0.0.1:37462 - GET", "20:27:59.480812"),
        ("2026-11-25T20:27:50.497Z\tINFO\tclientconn/listener.go:298\tStopped", "20:27:50.497000"),
        ("ts=2026-11-25T20:35:08.082Z caller=main.go:1012 msg=started", "20:35:08.082000"),
        ('{"t":{"$date":"2026-11-25T21:35:08.082+01:00"},"s":"I"}', "20:35:08.082000"),
        ("1.12.999.057 I slot      release: id  0 | task 46", "09:01:12.999057"),
    ],
)
def test_each_program_tells_the_time_in_its_own_way(line: str, time: str) -> None:
    (_, (seen, _text)) = list(stamped([STARTED, line]))
    assert seen == datetime.fromisoformat(f"2026-11-25T{time}+00:00")


def test_vllm_leaves_out_the_year() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    line = f"INFO {now:%m-%d %H:%M:%S} [api_server.py:12] ready"
    assert list(stamped([line])) == [(now, line)]


@pytest.mark.parametrize(
    "line", ["[DEBUG] 1003001 - tool: Executing tool count", "", "x" * 90 + "2026-11-25T20:27:59Z"]
)
def test_a_line_without_a_time_has_none(line: str) -> None:
    assert list(stamped([line])) == [(None, line)]


class Parts:
    """A target with these logs and no more."""

    name = "local"

    def __init__(self, **logs: list[str]) -> None:
        self._logs = {name.replace("_", "-"): lines for name, lines in logs.items()}

    def logs(self, name: str, *, lines: int = 100, follow: bool = False) -> Iterator[str]:
        if name not in self._logs:
            raise StepMissing(f"{name} has no pod.")
        yield from self._logs[name][-lines:]


def stamp(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()


def test_a_table_of_the_newest_lines_of_every_part() -> None:
    target = Parts(model=[f"line {n}" for n in range(9)], mongodb=["one", "", "two"])
    found = tail_logs(target, lines=2)  # type: ignore[arg-type]
    assert [(row.part, row.text) for row in found] == [
        ("model", "line 7"),
        ("model", "line 8"),
        ("mongodb", "one"),
        ("mongodb", "two"),
    ]


def test_filtered_by_text_in_any_case_before_the_newest_are_taken() -> None:
    target = Parts(model=["an Error", "fine", "fine", "fine"], mongodb=["no"])
    found = tail_logs(target, text="ERROR", lines=1)  # type: ignore[arg-type]
    assert [row.text for row in found] == ["an Error"]


def test_what_is_known_to_be_older_is_left_out() -> None:
    old, young = stamp(30), stamp(1)
    lines = [f"{old} old", "after the old one", f"{stamp(29)} old too", "before the young one",
             f"{young} young", "after it"]  # fmt: skip
    target = Parts(model=lines)
    texts = [row.text for row in tail_logs(target, minutes=5)]  # type: ignore[arg-type]
    assert texts == ["before the young one", f"{young} young", "after it"]


def test_wrong_limits_are_refused() -> None:
    with pytest.raises(SettingsError, match="minutes=-1, lines=0"):
        tail_logs(Parts(), minutes=-1, lines=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        ([], ["a"], ["a"]),
        (["a"], ["a"], []),
        (["a", "b"], ["a", "b", "b"], ["b"]),
        (["a", "b", "c"], ["b", "c", "d"], ["d"]),  # The look is shorter than the log.
        (["a", "b"], ["x", "y"], ["x", "y"]),  # The part was started again.
        (["a", "a", "b"], ["a", "b", "a"], ["a"]),
    ],
)
def test_what_came_since_an_earlier_look(
    before: list[str], after: list[str], new: list[str]
) -> None:
    assert since(before, after) == new


def test_a_message_over_several_lines_is_one() -> None:
    ferretdb = ["2026-11-25T20:27:59Z\tWARN\tResponse message:", "{", '  "ok": 0.0,', "}",
                '\t{"name":"x"}']  # fmt: skip
    mongod = ['{"t":{"$date":"2026-11-25T20:27:59Z"},"msg":"a"}', '{"t":{},"msg":"b"}']
    llama_stack = ["WARNING 2026-11-25T20:27:59Z streaming:589 Service", "         tier is None"]
    assert whole([*ferretdb, *mongod, *llama_stack]) == [
        '2026-11-25T20:27:59Z\tWARN\tResponse message: { "ok": 0.0, } {"name":"x"}',
        *mongod,
        "WARNING 2026-11-25T20:27:59Z streaming:589 Service tier is None",
    ]
