"""Lines over numbers, as one SVG picture: axes with units, a legend, light and dark pages."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 48
"""Pixels around the area of the lines, for title, ticks and names of the axes."""

ROW = 18
"""Pixels of a line of the legend."""

COLOURS = ("#2f81f7", "#d9822b", "#2da44e", "#bf4b8a", "#8a63d2", "#57606a")
"""Seen on white and on black alike."""

TICKS = 5
"""About how many marks an axis has."""


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Args:
        name: For the legend.
        points: Pairs of x and y, x rising.
        dashed: Drawn dashed, as a second line of the same thing.
        colour: The number of its colour; -1 takes the next one.
    """

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    colour: int = -1


@dataclass(frozen=True)
class Picture:
    """SVG that a notebook shows."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"Picture({len(self.svg)} characters of SVG)"


def plot(lines: Sequence[Line], *, title: str, x: str, y: str, alone: bool = False) -> str:
    """These lines as SVG.

    Args:
        lines: What is drawn; those without points are in the legend alone.
        title: Above the picture.
        x: The name of the x axis, with its unit.
        y: The name of the y axis, with its unit; it begins at 0.
        alone: For a file of its own, which cannot take its colour from a page.

    Example:
        >>> plot([Line("a", [(1, 2), (2, 3)])], title="t", x="users", y="s").startswith("<svg")
        True
    """
    xs = [point[0] for line in lines for point in line.points] or [0.0, 1.0]
    ys = [point[1] for line in lines for point in line.points] or [0.0, 1.0]
    across = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT, exact=sorted(set(xs)))
    up = _Axis(0.0, max(ys), HEIGHT - BOTTOM, TOP)
    height = HEIGHT + ROW * len(lines)
    drawn = "".join(
        _line(line, line.colour if line.colour >= 0 else number, across, up, HEIGHT + ROW * number)
        for number, line in enumerate(lines)
    )
    said = html.escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" font-family="system-ui, sans-serif" font-size="12" '
        f'class="plot" color="{"#1f2328" if alone else "currentColor"}" fill="currentColor">'
        f"<title>{said}</title>{_PAGE if alone else ''}"
        f'<text x="{LEFT}" y="18" font-size="14" font-weight="600">{said}</text>'
        f"{_grid(across, up)}{_names(x, y)}{drawn}</svg>"
    )


def grid(rows: Sequence[Sequence[str]], *, alone: bool = False) -> Picture:
    """Plots in rows, as one picture; ``alone`` as for ``plot``."""
    placed, top, whole = "", 0, 0
    for row in rows:
        left = 0
        sizes = [_size(picture) for picture in row]
        for picture, (width, _) in zip(row, sizes, strict=True):
            placed += picture.replace("<svg ", f'<svg x="{left}" y="{top}" ', 1)
            left += width
        top += max(height for _, height in sizes)
        whole = max(whole, left)
    title = "<title>Throughput and latency</title>" if alone else ""
    return Picture(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {top}" width="{whole}" '
        f'height="{top}" style="max-width:100%;height:auto">{title}{placed}</svg>'
    )


_PAGE = "<style>@media (prefers-color-scheme: dark) { svg.plot { color: #e6edf3; } }</style>"


@dataclass(frozen=True)
class _Axis:
    """Turns values into pixels; ``exact`` are the only marks, if they are few."""

    low: float
    high: float
    begin: float
    end: float
    exact: Sequence[float] = ()

    def at(self, value: float) -> float:
        low, high = self.ends
        return round(self.begin + (value - low) / (high - low) * (self.end - self.begin), 1)

    @property
    def ends(self) -> tuple[float, float]:
        if self.exact:
            return (self.low, self.high) if self.high > self.low else (self.low, self.low + 1)
        step = self._step()
        return 0.0, max(step, math.ceil(self.high / step - 1e-9) * step)

    @property
    def ticks(self) -> list[float]:
        if self.exact:
            every = math.ceil(len(self.exact) / 8)
            return list(self.exact[::every])
        step, (low, high) = self._step(), self.ends
        return [low + step * number for number in range(round((high - low) / step) + 1)]

    def _step(self) -> float:
        """1, 2 or 5 times a power of ten."""
        rough = (self.high or 1.0) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)


def _grid(across: _Axis, up: _Axis) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    drawn = ""
    for tick in up.ticks:
        y = up.at(tick)
        drawn += (
            f'<path d="M{LEFT} {y}H{right}" stroke="currentColor" stroke-opacity="0.18"/>'
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{_number(tick)}</text>'
        )
    for tick in across.ticks:
        x = across.at(tick)
        drawn += (
            f'<path d="M{x} {bottom}v5" stroke="currentColor"/>'
            f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{_number(tick)}</text>'
        )
    return drawn + f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="currentColor"/>'


def _names(x: str, y: str) -> str:
    middle, centre = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    return (
        f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">{html.escape(x)}</text>'
        f'<text x="14" y="{centre}" text-anchor="middle" '
        f'transform="rotate(-90 14 {centre})">{html.escape(y)}</text>'
    )


def _line(line: Line, number: int, across: _Axis, up: _Axis, legend: int) -> str:
    colour = COLOURS[number % len(COLOURS)]
    dashes = ' stroke-dasharray="6 4"' if line.dashed else ""
    style = f'fill="none" stroke="{colour}" stroke-width="2"{dashes}'
    places = [(across.at(x), up.at(y)) for x, y in line.points]
    drawn = f'<path d="M{LEFT} {legend + 4}h26" {style}/>'
    drawn += f'<text x="{LEFT + 34}" y="{legend + 8}">{html.escape(line.name)}</text>'
    if len(places) > 1:
        drawn += f'<path d="M{" L".join(f"{x} {y}" for x, y in places)}" {style}/>'
    return drawn + "".join(
        f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in places
    )


def _number(value: float) -> str:
    return f"{value:.6g}"


def _size(picture: str) -> tuple[int, int]:
    begin = picture.partition(">")[0]
    width, height = (begin.partition(f' {name}="')[2].partition('"')[0] for name in _SIDES)
    return int(width), int(height)


_SIDES = ("width", "height")
