"""The system's picture: well-formed, true to its notebook, the same on disk as it is drawn."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET

import pytest
from pictures import FOLDER, STEPS, alt, of_step
from workshop.targets.base import PartStatus, Statuses


def words(svg: str) -> list[str]:
    """The texts of a picture, in the order in which they are drawn."""
    drawn = ET.fromstring(svg)  # noqa: S314 (the kit draws it)
    return ["".join(text.itertext()) for text in drawn.iter() if text.tag.endswith("}text")]


@pytest.mark.parametrize("step", STEPS)
def test_the_file_is_what_is_drawn(step: int) -> None:
    path = FOLDER / f"{step:02d}.svg"
    assert path.read_text("utf-8") == of_step(step), "make fix writes the pictures"


def test_no_other_file_is_there() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == [f"{step:02d}.svg" for step in STEPS]


@pytest.mark.parametrize(
    ("step", "seen"),
    [
        (0, ["to come"] * 7 + ["this step"]),
        (4, ["to come", "done", "done", "done", "to come", "this step", "to come", "done"]),
        (6, ["to come", "done", "done", "done", "done", "done", "this step", "done"]),
        (9, ["done"] * 7 + ["this step"]),
        (99, ["removed"] * 7 + ["this step"]),
    ],
)
def test_each_box_says_where_we_are(step: int, seen: list[str]) -> None:
    states = ("to come", "done", "this step", "removed")
    told = [word for text in words(of_step(step)) for word in states if text.endswith(word)]
    assert told == seen


def test_the_words_for_who_cannot_see_it_name_the_step() -> None:
    assert alt(5).endswith("This step: MCP server.")
    assert alt(6).endswith("This step: Registration.")
    assert alt(9).endswith("This step: Prometheus reads the metrics of each part.")


def test_what_runs_is_a_picture_above_its_rows() -> None:
    rows = Statuses([PartStatus("mongodb", "<failed>", "mongodb://127.0.0.1:1", "ended")])
    shown = rows._repr_html_()
    assert shown.startswith('<img alt="mongodb: &lt;failed&gt;" src="data:image/svg+xml;base64,')
    drawn = base64.b64decode(shown.partition("base64,")[2].partition('"')[0]).decode()
    assert "<failed>" in words(drawn)
    assert "mongodb://127.0.0.1:1" in shown
    assert repr(rows).startswith("name     state")
    assert "(nothing)" in Statuses()._repr_html_()
