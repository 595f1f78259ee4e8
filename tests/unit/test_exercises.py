"""Exercises say whether a learner's value is right; those on the data are in test_sequence."""

from __future__ import annotations

from typing import Any

import pytest
from workshop import check_exercise
from workshop.core.errors import SettingsError

NOWHERE: Any = None  # Where no data is asked for.


def test_a_right_value_may_be_rounded() -> None:
    judged = check_exercise(NOWHERE, "01", 6.5)
    assert judged.right
    assert repr(judged) == "[ OK ] 6.5 is right."


def test_a_wrong_one_gets_a_hint_and_a_solution_that_is_right() -> None:
    judged = check_exercise(NOWHERE, "01", 14)
    assert not judged.right
    assert repr(judged).startswith("[ .. ] 14 is not right. Hint: a GiB is 2**30 bytes")
    assert "<details><summary>Show a solution</summary><pre>14 * 1e9" in judged._repr_html_()
    assert check_exercise(NOWHERE, "01", eval(judged.solution)).right  # noqa: S307


def test_no_value_yet_is_no_failure() -> None:
    judged = check_exercise(NOWHERE, "01", None)
    assert not judged.right
    assert judged.said.endswith("half a byte each? Write your value in place of None.")


@pytest.mark.parametrize("value", ["6.5", [6.5], True])
def test_what_is_no_number_is_told(value: object) -> None:
    judged = check_exercise(NOWHERE, "01", value)
    assert not judged.right
    assert (
        judged.said == f"{type(value).__name__} is no number. Hint: write the number that you read."
    )


def test_a_step_without_one_is_named() -> None:
    with pytest.raises(SettingsError, match=r"Step 07 has no exercise(.|\n)*01, 04, 05, 06"):
        check_exercise(NOWHERE, "07", 1)
