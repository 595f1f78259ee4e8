"""The picture says what the numbers say: read back from the SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from workshop.plot import Line, grid, plot

SVG = "{http://www.w3.org/2000/svg}"
LINES = [
    Line("1 replica", [(1, 10), (2, 20), (4, 40)]),
    Line("2 replicas", [(1, 20), (2, 40), (4, 80)], dashed=True),
]


def drawn(lines: list[Line] = LINES, **options: bool) -> ET.Element:
    text = plot(lines, title="Throughput", x="users", y="answered a second", **options)
    return ET.fromstring(text)  # noqa: S314


def texts(root: ET.Element) -> list[str]:
    return [str(one.text) for one in root.iter(f"{SVG}text")]


def dots(root: ET.Element) -> list[tuple[float, float]]:
    return [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iter(f"{SVG}circle")]


def test_axes_and_legend_are_named() -> None:
    said = texts(drawn())
    assert {"Throughput", "users", "answered a second", "1 replica", "2 replicas"} <= set(said)


def test_points_are_where_the_marks_of_the_axes_are() -> None:
    root = drawn()
    found = list(root.iter(f"{SVG}text"))
    at = {str(text.text): (float(text.attrib["x"]), float(text.attrib["y"]) - 4) for text in found}
    zero, top = at["0"][1], at["80"][1]
    for (x, y), (users, rate) in zip(dots(root)[:3], LINES[0].points, strict=True):
        assert x == at[str(users)][0]
        assert abs((zero - y) / (zero - top) * 80 - rate) < 0.5


def test_higher_values_are_higher_and_inside() -> None:
    root = drawn()
    found = dots(root)
    assert [y for _, y in found[:3]] == sorted((y for _, y in found[:3]), reverse=True)
    assert all(one[1] < other[1] for one, other in zip(found[3:], found[:3], strict=True))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert all(0 < x < width and 0 < y < height for x, y in found)


def test_a_second_line_of_the_same_thing_is_dashed() -> None:
    dashed = [p for p in drawn().iter(f"{SVG}path") if "stroke-dasharray" in p.attrib]
    assert len(dashed) == 2


def test_a_page_gives_its_colour_and_a_file_brings_its_own() -> None:
    assert drawn().attrib["color"] == "currentColor"
    alone = plot(LINES, title="t", x="x", y="y", alone=True)
    assert "prefers-color-scheme: dark" in alone
    assert "prefers-color-scheme" not in plot(LINES, title="t", x="x", y="y")


def test_no_points_one_point_and_zeros_are_drawn() -> None:
    assert dots(drawn([Line("none", [])])) == []
    assert len(dots(drawn([Line("one", [(2, 0.004)])]))) == 1
    assert len(dots(drawn([Line("zeros", [(1, 0), (2, 0)])]))) == 2


def test_names_cannot_break_out() -> None:
    text = plot([Line("<script>", [])], title="a & b", x="x", y="y")
    assert "<script>" not in text
    assert "a &amp; b" in text


def test_pictures_stand_in_rows() -> None:
    one = plot(LINES, title="one", x="x", y="y")
    root = ET.fromstring(grid([[one, one], [one]])._repr_svg_())  # noqa: S314
    placed = [(c.attrib["x"], c.attrib["y"]) for c in root.iter(f"{SVG}svg") if "x" in c.attrib]
    width, height = (re.search(rf'{side}="(\d+)"', one)[1] for side in ("width", "height"))  # type: ignore[index]
    assert placed == [("0", "0"), (width, "0"), ("0", height)]
    assert root.attrib["height"] == str(2 * int(height))
