"""The system's picture: well-formed, true to its notebook, the same on disk as it is drawn."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from workshop.core import picture
from workshop.targets.base import PartStatus, Statuses

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "docs" / "pictures"
STEPS = sorted(int(path.name[:2]) for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))


def words(svg: str) -> list[str]:
    """The texts of a picture, in the order in which they are drawn."""
    drawn = ET.fromstring(svg)  # noqa: S314 (the kit draws it)
    return ["".join(text.itertext()) for text in drawn.iter() if text.tag.endswith("}text")]


@pytest.mark.parametrize("step", STEPS)
def test_the_file_is_what_is_drawn(step: int) -> None:
    path = FOLDER / f"{step:02d}.svg"
    assert path.read_text("utf-8") == picture.of_step(step), "make fix writes the pictures"


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
    told = [word for text in words(picture.of_step(step)) for word in states if text.endswith(word)]
    assert told == seen


def test_the_words_for_who_cannot_see_it_name_the_step() -> None:
    assert picture.alt(5).endswith("This step: MCP server.")
    assert picture.alt(6).endswith("This step: Registration.")
    assert picture.alt(9).endswith("This step: Prometheus reads the metrics of each part.")


def test_what_runs_is_a_picture_above_its_rows() -> None:
    rows = Statuses([PartStatus("mongodb", "<failed>", "mongodb://127.0.0.1:1", "ended")])
    shown = rows._repr_html_()
    assert shown.startswith('<img alt="mongodb: &lt;failed&gt;" src="data:image/svg+xml;base64,')
    drawn = base64.b64decode(shown.partition("base64,")[2].partition('"')[0]).decode()
    assert "<failed>" in words(drawn)
    assert "mongodb://127.0.0.1:1" in shown
    assert repr(rows).startswith("name     state")
    assert "(nothing)" in Statuses()._repr_html_()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for step in STEPS:
        (FOLDER / f"{step:02d}.svg").write_text(picture.of_step(step), encoding="utf-8")
