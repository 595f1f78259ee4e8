"""Plots: the picture follows from the values, and only from them."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import pytest
from workshop.core.plots import Band, Line, Panel, Plot, figure, ticks

PLOT = Plot(
    "Load",
    "s",
    (
        Panel("Requests <a>", "1/s", (Line(((-5.0, 0.0), (0.0, 0.0), (5.0, 2.0))),)),
        Panel("Latency", "s", (Line(((0.0, 1.0), (5.0, 3.0)), "p50"), Line(((0.0, 2.0),), "p95"))),
        Panel("GPU", "%", (), "no GPU here"),
    ),
    (Band(0.0, 5.0, "asked"),),
)


def elements(plot: Plot, tag: str) -> list[ElementTree.Element]:
    return list(parsed(plot).iter(f"{{http://www.w3.org/2000/svg}}{tag}"))


def parsed(plot: Plot) -> ElementTree.Element:
    return ElementTree.fromstring(plot.svg())  # noqa: S314


def test_it_is_read_as_it_was_written() -> None:
    assert Plot.read(PLOT.as_dict()) == PLOT


def test_each_line_goes_through_its_points() -> None:
    paths = [line.get("points", "").split() for line in elements(PLOT, "polyline")]
    assert [len(path) for path in paths] == [3, 2, 1]
    ys = [float(point.partition(",")[2]) for point in paths[0]]
    assert ys[0] == ys[1] > ys[2], "a higher value stands higher"
    xs = [float(point.partition(",")[0]) for point in paths[0]]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.11)
    band = next(one for one in elements(PLOT, "rect") if one.get("class") == "wp-b")
    assert float(band.get("x", 0)) == pytest.approx(xs[1], abs=0.11)


def test_every_value_stays_inside_its_panel() -> None:
    for line in elements(PLOT, "polyline"):
        for point in line.get("points", "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 430
            assert 0 <= y <= 150


def test_titles_units_names_and_notes_are_shown_and_escaped() -> None:
    texts = [one.text for one in elements(PLOT, "text")]
    for wanted in ("Requests <a>", "highest 2 a second", "highest 3 s", "p50", "p95"):
        assert wanted in texts
    assert "no GPU here" in texts
    assert "<a>" not in PLOT.svg()


def test_the_url_is_the_picture_and_loads_nothing() -> None:
    head, _, code = PLOT.data_url().partition(",")
    assert head == "data:image/svg+xml;base64"
    assert base64.b64decode(code).decode() == PLOT.svg()
    assert not re.search(r"(href|src|url\()", PLOT.svg())


@pytest.mark.parametrize("points", [(), ((3.0, 0.0),), ((1.0, 0.0), (2.0, 0.0)), ((0.0, 1e9),)])
def test_few_or_flat_values_are_drawn_too(points: tuple[tuple[float, float], ...]) -> None:
    assert parsed(Plot("x", "s", (Panel("y", "1", (Line(points),)),))).tag.endswith("svg")


def test_short_times_are_shown_in_milliseconds() -> None:
    plot = Plot("x", "s", (Panel("y", "s", (Line(((0.0, 0.002), (1.0, 0.008))),)),))
    assert "highest 8 ms" in [one.text for one in elements(plot, "text")]


def test_figures_and_ticks() -> None:
    assert [figure(n) for n in (0, 0.12345, 7.5, 1234, 2_500_000)] == [
        *("0", "0.123", "7.5", "1,234", "2.5 M")
    ]
    assert ticks(-8, 47) == [0, 20, 40]
    assert ticks(0, 0.3, 3) == [0, 0.1, 0.2, 0.3]


def test_between_whole_numbers_there_is_no_mark() -> None:
    few = Plot("x", "users", (Panel("y", "s", (Line(((1, 5.0), (2, 6.0))),)),))
    marks = [one.text for one in elements(few, "text") if one.get("text-anchor") == "middle"]
    assert marks == ["1", "2"]
