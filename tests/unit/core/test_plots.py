"""Plots: a figure shows its values, can be changed, and is stored as what it shows."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from workshop.core.plots import COLOURS, GREY, MIME, Panel, as_dict, draw, rounded

PANELS = (
    Panel("Requests", "1/s", {"chat": [(-5.0, 0.0), (0.0, 0.0), (5.0, 2.0)]}),
    Panel("Latency", "s", {"p50": [(0.0, 1.0), (5.0, 3.0)], "p95": [(0.0, 2.0)]}),
)


def figure() -> Figure:
    return draw("Load", "seconds", PANELS, shaded=(0.0, 5.0))


def shown(plot: Figure) -> tuple[dict[str, Any], dict[str, Any]]:
    """As IPython shows the value of a cell."""
    return DisplayFormatter().format(plot)  # type: ignore[no-untyped-call, no-any-return]


def picture(plot: Figure) -> Any:
    data, _about = shown(plot)
    return imread(io.BytesIO(base64.b64decode(data["image/png"])))


def test_each_panel_is_one_of_the_axes() -> None:
    requests, latency = figure().axes
    (line,) = requests.get_lines()
    assert line.get_xydata().tolist() == [[-5, 0], [0, 0], [5, 2]]
    assert [line.get_label() for line in latency.get_lines()] == ["p50", "p95"]
    assert [text.get_text() for text in latency.get_legend().get_texts()] == ["p50", "p95"]
    assert (requests.get_ylabel(), latency.get_ylabel()) == ("1/s", "s")
    assert requests.get_title(loc="right") == "highest 2 per second"
    assert latency.get_title(loc="right") == "highest 3 s"
    assert requests.get_xlim() == latency.get_xlim(), "they share it"


def test_the_values_are_stored_as_they_are_shown() -> None:
    plot = figure()
    assert json.loads(json.dumps(as_dict(plot))) == {
        "title": "Load",
        "x": "seconds",
        "panels": [
            {
                "title": "Requests",
                "unit": "1/s",
                "lines": [{"name": "chat", "points": [[-5, 0], [0, 0], [5, 2]]}],
            },
            {
                "title": "Latency",
                "unit": "s",
                "lines": [
                    {"name": "p50", "points": [[0, 1], [5, 3]]},
                    {"name": "p95", "points": [[0, 2]]},
                ],
            },
        ],
    }
    plot.axes[0].plot([1, 2], [7, 8], label="mine")
    data, _about = shown(plot)
    assert data[MIME]["panels"][0]["lines"][1] == {"name": "mine", "points": [[1, 7], [2, 8]]}


def test_a_notebook_shows_the_picture_and_says_what_it_is() -> None:
    data, about = shown(figure())
    assert set(data) == {MIME, "image/png", "text/plain"}
    assert data["text/plain"] == about["image/png"]["alt"] == "Load: Requests, Latency"
    # Twice as many pixels as it is wide, for screens that have them.
    assert picture(figure()).shape[1] == 2 * about["image/png"]["width"]


def test_a_change_changes_the_picture() -> None:
    plot = figure()
    before = picture(plot)
    plot.axes[0].set_ylim(0, 5)
    assert (before != picture(plot)).any()


def test_it_is_readable_on_light_and_dark_themes() -> None:
    assert picture(figure())[0, 0, 3] == 0, "the background is transparent"

    def light(colour: str) -> float:
        """The luminance of WCAG 2."""
        parts = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)
        ]
        return sum(
            weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
        )

    for colour in (*COLOURS, GREY):
        for page in ("#ffffff", "#111111"):
            low, high = sorted((light(colour), light(page)))
            assert (high + 0.05) / (low + 0.05) > 3, (colour, page)


@pytest.mark.parametrize("points", [[], [(3.0, 0.0)], [(1.0, 0.0), (2.0, 0.0)], [(0.0, 1e9)]])
def test_few_or_flat_values_are_drawn_too(points: list[tuple[float, float]]) -> None:
    assert picture(draw("x", "s", [Panel("y", "1", {"": points})])).size


def test_no_panels_are_no_error() -> None:
    assert as_dict(draw("x", "s", []))["panels"] == []


def test_short_times_are_shown_in_milliseconds() -> None:
    (axes,) = draw("x", "s", [Panel("y", "s", {"a": [(0.0, 0.002), (1.0, 0.008)]})]).axes
    assert (axes.get_ylabel(), axes.get_title(loc="right")) == ("ms", "highest 8 ms")


def test_between_whole_numbers_there_is_no_mark() -> None:
    plot = draw("x", "users", [Panel("y", "s", {"a": [(1, 5.0), (2, 6.0)]})])
    assert all(float(mark).is_integer() for mark in plot.axes[0].get_xticks())


def test_numbers_are_short() -> None:
    assert [rounded(n) for n in (0, 0.12345, 7.5, 1234, 2_500_000)] == [
        *("0", "0.123", "7.5", "1,234", "2.5 M")
    ]


def test_it_needs_no_display_and_no_home_that_can_be_written_to() -> None:
    code = (
        "from workshop.core.plots import Panel, bundle, draw; import sys;"
        "data, _ = bundle(draw('x', 's', [Panel('y', '1', {'a': [(0, 1)]})]));"
        "print(len(data['image/png']) > 1000, 'matplotlib.pyplot' in sys.modules)"
    )
    hidden = ("DISPLAY", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    env = {name: text for name, text in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env | {"HOME": "/dev/null"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("True False\n", "")
