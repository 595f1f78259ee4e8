"""Plots by matplotlib: a figure that can be changed in the next cell, and its values for a report.

A figure is made without pyplot: it needs no display, and leaves no global state.
"""

from __future__ import annotations

import base64
import io
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIME = "application/vnd.workshop.plot+json"
"""How the runner finds a plot in an executed notebook; JupyterLab shows the picture."""

COLUMNS = 2
WIDTH, HEIGHT = 5.0, 1.7  # Of one panel, in inches.
GREY = "#757c87"
COLOURS = ("#2f86d6", "#d2691e", "#2f9e63", "#a36bd0")
"""All are readable on white and on a dark theme: the background is transparent."""

STYLE: Any = {
    **dict.fromkeys(("figure.facecolor", "axes.facecolor"), "none"),
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), GREY),
    **dict.fromkeys(("xtick.color", "ytick.color"), GREY),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    **dict.fromkeys(("font.size", "figure.labelsize"), 8),
    **{"axes.titlesize": 9, "figure.titlesize": 10, "lines.markersize": 3},
    "axes.prop_cycle": f"cycler('color', {list(COLOURS)})",
}

DOTS = 12  # Points of a line that are marked; more would hide the line.

Points = Sequence[tuple[float, float]]
"""Of one line, as (x, y), in the order of x."""


@dataclass(frozen=True)
class Panel:
    """One small plot: ``unit`` is of its y axis, ``lines`` are by name."""

    title: str
    unit: str
    lines: Mapping[str, Points]


def draw(
    title: str, x: str, panels: Sequence[Panel], shaded: tuple[float, float] | None = None
) -> Figure:
    """Panels that share their x axis; each is one of the figure's ``axes``, in this order.

    ``x`` is what that axis is, with its unit, and ``shaded`` a stretch of it, such as the time in
    which questions were asked. Seconds below a half are drawn as milliseconds.

    Example:
        >>> figure = draw("Load", "users", [Panel("Requests", "1/s", {"chat": [(1, 1), (2, 2)]})])
        >>> figure.axes[0].set_title("Requests of one user after the other", loc="left")
    """
    # It keeps its list of fonts in the user's cache. Where that cannot be written to, it takes a
    # temporary folder, and warns of it; a notebook's cell is no place for that.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib import rc_context  # a third of a second, so not at import
    from matplotlib.figure import Figure

    class Plot(Figure):
        """Shows itself: IPython knows only the figures of pyplot."""

        def _repr_mimebundle_(self, **_options: object) -> tuple[dict[str, Any], dict[str, Any]]:
            return bundle(self)

    columns = min(COLUMNS, len(panels)) or 1
    rows = math.ceil(len(panels) / columns) or 1
    with rc_context(STYLE):
        figure = Plot(figsize=(columns * WIDTH, rows * HEIGHT + 0.5), layout="constrained")
        figure.suptitle(title)
        figure.supxlabel(x)
        for place, panel in enumerate(panels, 1):
            first = figure.axes[0] if figure.axes else None
            axes = figure.add_subplot(rows, columns, place, sharex=first)
            _draw_panel(axes, panel)
            if shaded:
                axes.axvspan(*shaded, color=GREY, alpha=0.15, linewidth=0)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    shown = [y for points in panel.lines.values() for _x, y in points]
    factor, unit = readable(shown, panel.unit)
    for name, points in panel.lines.items():
        xs, ys = [x for x, _y in points], [factor * y for _x, y in points]
        axes.plot(xs, ys, label=name, marker="o" if len(points) <= DOTS else "")
    axes.set_title(panel.title, loc="left")
    highest = f"highest {rounded(factor * max(shown, default=0.0))}{UNITS.get(unit, f' {unit}')}"
    axes.set_title(highest, loc="right", fontsize=8)
    axes.set_ylabel("" if unit == "1" else unit)
    axes.set_ylim(bottom=0)
    # There is no half a user.
    axes.locator_params(axis="x", integer=True)
    # Matplotlib makes the ticks when it draws them, in the style of that time.
    axes.tick_params(colors=GREY)
    axes.grid(axis="y", color=GREY, alpha=0.25)
    if len(panel.lines) > 1:
        axes.legend()


def bundle(figure: Figure) -> tuple[dict[str, Any], dict[str, Any]]:
    """A figure as it is now, for IPython: its values, a picture, a text; and metadata of these."""
    kept = as_dict(figure)
    text = f"{kept['title']}: {', '.join(panel['title'] for panel in kept['panels'])}"
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=2 * figure.dpi)
    png = base64.b64encode(picture.getvalue()).decode()
    about = {"alt": text, "width": round(figure.bbox.width)}
    return {MIME: kept, "image/png": png, "text/plain": text}, {"image/png": about}


def as_dict(figure: Figure) -> dict[str, Any]:
    """What the report stores of a figure: the values that it shows, no picture."""
    return {
        "title": figure.get_suptitle(),
        "x": figure.get_supxlabel(),
        "panels": [
            {
                "title": axes.get_title(loc="left"),
                "unit": axes.get_ylabel(),
                "lines": [
                    {"name": str(one.get_label()), "points": cast("Any", one.get_xydata()).tolist()}
                    for one in axes.get_lines()
                ],
            }
            for axes in figure.axes
        ],
    }


UNITS = {"1": "", "1/s": " per second"}


def rounded(value: float) -> str:
    """A number as people read it: three digits, no noise.

    Example:
        >>> [rounded(n) for n in (0, 0.12345, 7.5, 1234, 2_500_000)]
        ['0', '0.123', '7.5', '1,234', '2.5 M']
    """
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def readable(values: Iterable[float], unit: str) -> tuple[float, str]:
    """By what values are multiplied to be read easily, and the unit that they then have.

    Example:
        >>> readable([0.0002, 0.008], "s"), readable([0.4, 12], "s"), readable([0.1], "1/s")
        ((1000.0, 'ms'), (1.0, 's'), (1.0, '1/s'))
    """
    short = unit == "s" and max(values, default=1.0) < 0.5
    return (1000.0, "ms") if short else (1.0, unit)
