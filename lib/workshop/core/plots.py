"""Plots as SVG, small enough to be looked at side by side: no library draws them.

A plot is data first: the report keeps the values, and draws the same picture out of them.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

MIME = "application/vnd.workshop.plot+json"
"""How the runner finds a plot in an executed notebook; JupyterLab shows the picture."""

COLUMNS = 2
WIDTH, HEIGHT = 430, 150
"""Of one panel, in pixels."""

LEFT, RIGHT, TOP, BOTTOM = 52, 14, 38, 24
"""Between a panel's edge and its axes."""

STYLE = """
.wp-page{fill:#ffffff}.wp-card{fill:#fbfbfc;stroke:#dfe3e8}
.wp-t{fill:#1f2730;font:600 12.5px system-ui,sans-serif}
.wp-s{fill:#67727e;font:11px system-ui,sans-serif}.wp-g{stroke:#e4e8ec}.wp-a{stroke:#9aa5b1}
.wp-b{fill:#8a97a6;fill-opacity:.16}
.wp-l{fill:none;stroke-width:1.8;stroke-linejoin:round}.wp-f{fill-opacity:.13;stroke:none!important}
.wp-0{stroke:#1f6fb4;fill:#1f6fb4}.wp-1{stroke:#c4570b;fill:#c4570b}.wp-2{stroke:#2a8a57;fill:#2a8a57}
.wp-3{stroke:#8a4fb0;fill:#8a4fb0}.wp-l.wp-0,.wp-l.wp-1,.wp-l.wp-2,.wp-l.wp-3{fill:none}
@media (prefers-color-scheme:dark){
.wp-page{fill:#14181d}.wp-card{fill:#1a1f25;stroke:#323a43}.wp-t{fill:#e6eaee}.wp-s{fill:#9ba6b2}
.wp-g{stroke:#2b323a}.wp-a{stroke:#5f6a76}.wp-b{fill:#9aa7b5}
.wp-0{stroke:#6db3f2;fill:#6db3f2}.wp-1{stroke:#f0975a;fill:#f0975a}.wp-2{stroke:#63c491;fill:#63c491}
.wp-3{stroke:#c194e3;fill:#c194e3}}
""".replace("\n", "")
COLOURS = 4

CHARACTER = 5.8
"""Pixels of a letter of the legend, on average; SVG alone does not know how wide a text will be."""


@dataclass(frozen=True)
class Line:
    """The points of one line, as (x, y), in the order of x."""

    points: tuple[tuple[float, float], ...]
    name: str = ""


@dataclass(frozen=True)
class Panel:
    """One small plot: ``unit`` is of its y axis; ``note`` stands in place of lines it lacks."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    note: str = ""


@dataclass(frozen=True)
class Band:
    """A stretch of the x axis that is shaded, such as the time in which questions were asked."""

    begin: float
    end: float
    name: str


@dataclass(frozen=True)
class Plot:
    """Panels that share their x axis.

    Example:
        >>> Plot("Load", "s", (Panel("Requests", "1/s", (Line(((0, 1), (1, 2))),)),))
        Load: 1 panel
    """

    title: str
    x: str
    panels: tuple[Panel, ...]
    bands: tuple[Band, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """What the report stores: every value, no picture."""
        return asdict(self)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Plot:
        """From what ``as_dict`` gave."""
        panels = tuple(
            Panel(
                one["title"],
                one["unit"],
                tuple(
                    Line(tuple((x, y) for x, y in line["points"]), line["name"])
                    for line in one["lines"]
                ),
                one["note"],
            )
            for one in content["panels"]
        )
        bands = tuple(Band(**one) for one in content["bands"])
        return cls(content["title"], content["x"], panels, bands)

    def svg(self) -> str:
        """The picture, in light or dark colours as the reader's system asks for."""
        rows = math.ceil(len(self.panels) / COLUMNS)
        columns = min(COLUMNS, max(1, len(self.panels)))
        width, height = columns * (WIDTH + 10) + 10, rows * (HEIGHT + 10) + 10
        low, high = self._span()
        drawn = "".join(
            f'<g transform="translate({10 + (WIDTH + 10) * (number % COLUMNS)} '
            f'{10 + (HEIGHT + 10) * (number // COLUMNS)})">'
            f"{_panel(panel, self.bands, low, high, self.x)}</g>"
            for number, panel in enumerate(self.panels)
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" style="max-width:100%;height:auto" role="img">'
            f"<title>{html.escape(self.title)}</title><style>{STYLE}</style>"
            f'<rect class="wp-page" width="{width}" height="{height}"/>{drawn}</svg>'
        )

    def data_url(self) -> str:
        """The picture for an ``img`` of a page that loads nothing."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg().encode()).decode()

    def __repr__(self) -> str:
        count = len(self.panels)
        return f"{self.title}: {count} panel{'s' if count != 1 else ''}"

    def _repr_mimebundle_(self, **_options: object) -> dict[str, object]:
        return {MIME: self.as_dict(), "image/svg+xml": self.svg(), "text/plain": repr(self)}

    def _span(self) -> tuple[float, float]:
        xs = [x for panel in self.panels for line in panel.lines for x, _y in line.points]
        xs += [edge for band in self.bands for edge in (band.begin, band.end)]
        low, high = min(xs, default=0.0), max(xs, default=1.0)
        return low, high if high > low else low + 1


def figure(value: float) -> str:
    """A number as people read it: three digits, no noise.

    Example:
        >>> [figure(n) for n in (0, 0.12345, 7.5, 1234, 2_500_000)]
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


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """At most about ``count`` round numbers between two.

    Example:
        >>> ticks(0, 47)
        [0.0, 10.0, 20.0, 30.0, 40.0]
    """
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    unit = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / unit - 1e-9)
    return [round(unit * n, 10) for n in range(first, math.floor(high / unit + 1e-9) + 1)]


def _panel(panel: Panel, bands: Sequence[Band], low: float, high: float, unit_x: str) -> str:
    factor, unit = readable([y for line in panel.lines for _x, y in line.points], panel.unit)
    lines = [replace(one, points=tuple((x, factor * y) for x, y in one.points))
             for one in panel.lines]  # fmt: skip
    ys = [y for line in lines for _x, y in line.points]
    marks = ticks(0, max(ys, default=0) or 1, 3)
    top = marks[-1] if marks[-1] >= max(ys, default=0) else marks[-1] + (marks[1] - marks[0])
    if top > marks[-1]:
        marks.append(top)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            round(LEFT + (right - LEFT) * (x - low) / (high - low), 1),
            round(bottom - (bottom - TOP) * y / top, 1),
        )

    parts = [f'<rect class="wp-card" width="{WIDTH}" height="{HEIGHT}" rx="6"/>']
    parts.append(_text(12, 20, panel.title, "wp-t"))
    for band in bands:
        left, end = place(band.begin, 0)[0], place(band.end, 0)[0]
        parts.append(
            f'<rect class="wp-b" x="{left}" y="{TOP}" width="{max(1, end - left):.1f}" '
            f'height="{bottom - TOP}"><title>{html.escape(band.name)}</title></rect>'
        )
    for mark in marks:
        y = place(low, mark)[1]
        kind = "wp-a" if mark == 0 else "wp-g"
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{right}" y1="{y}" y2="{y}"/>')
        if ys:
            parts.append(_text(LEFT - 6, y + 4, figure(mark), "wp-s", "end"))
    for mark in _marks(lines, low, high):
        x = place(mark, 0)[0]
        parts.append(_text(x, bottom + 15, figure(mark), "wp-s", "middle"))
    parts.append(_text(12, bottom + 15, unit_x, "wp-s"))
    if ys:
        parts.append(_text(right, 20, f"highest {figure(max(ys))}{_unit(unit)}", "wp-s", "end"))
    else:
        parts.append(_text((LEFT + right) / 2, (TOP + bottom) / 2, panel.note, "wp-s", "middle"))
    for number, line in enumerate(lines):
        parts.append(_line([place(x, y) for x, y in line.points], number % COLOURS, bottom))
    if len(lines) > 1:
        parts.append(_legend(lines, right))
    return "".join(parts)


def _marks(lines: Iterable[Line], low: float, high: float) -> list[float]:
    """Of the x axis: whole ones between whole numbers, for there is no half a user."""
    whole = all(float(x).is_integer() for line in lines for x, _y in line.points)
    return [mark for mark in ticks(low, high, 6) if mark.is_integer() or not whole]


def _unit(unit: str) -> str:
    return {"1": "", "1/s": " a second", "%": " %"}.get(unit, f" {unit}")


def _line(points: Sequence[tuple[float, float]], colour: int, bottom: float) -> str:
    if not points:
        return ""
    path = " ".join(f"{x},{y}" for x, y in points)
    dots = "".join(f'<circle class="wp-{colour}" cx="{x}" cy="{y}" r="2"/>' for x, y in points[:60])
    first, last = points[0][0], points[-1][0]
    fill = f'<polygon class="wp-f wp-{colour}" points="{first},{bottom} {path} {last},{bottom}"/>'
    line = f'<polyline class="wp-l wp-{colour}" points="{path}"/>'
    return (fill if colour == 0 else "") + line + (dots if len(points) <= 12 else "")


def _legend(lines: Iterable[Line], right: float) -> str:
    parts, x = [], right
    for number, line in reversed(list(enumerate(lines))):
        x -= CHARACTER * len(line.name)
        parts.append(_text(x, 34, line.name, "wp-s"))
        x -= 12
        parts.append(f'<rect class="wp-{number % COLOURS}" x="{x:g}" y="26" width="8" height="8"/>')
        x -= 8
    return "".join(parts)


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    place = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{html.escape(text)}</text>'
