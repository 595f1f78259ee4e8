"""The system that the notebooks build, as a picture: SVG with a state in each box.

It has a white background of its own, so it is readable on a light and on a dark theme.
"""

import base64
import html
from collections.abc import Mapping
from dataclasses import dataclass

HERE = "this step"
TO_COME = "to come"


@dataclass(frozen=True)
class Box:
    """A part, with the number of its notebook, and the place of its upper left corner."""

    step: int
    title: str
    x: int
    y: int


BOXES = {
    "agent": Box(7, "Agent", 20, 20),
    "llama-stack": Box(3, "Llama Stack", 210, 20),
    "model": Box(2, "Model", 400, 20),
    "gpu-nodes": Box(1, "GPU nodes", 590, 20),
    "mcp-server": Box(5, "MCP server", 210, 146),
    "mongodb": Box(4, "MongoDB", 400, 146),
}
WIDTH, HEIGHT = 150, 62

ARROWS = ("170,51 208,51", "360,51 398,51", "550,51 588,51", "285,82 285,144", "360,177 398,177")

GREY, GREEN, BLUE, AMBER = "#57606a", "#1a7f37", "#0550ae", "#9a6700"
COLOURS = {HERE: BLUE, TO_COME: GREY, "removed": GREY}
GOOD = ("done", "running", "yours")


def draw(states: Mapping[str, str], *lines: tuple[int, int, str, str]) -> str:
    """The picture, with a state for each of ``BOXES``; one that is not named has none.

    ``lines`` are of text besides: x, y, a title and its state.
    """
    head = f"<path d='M0 0 L10 5 L0 10 z' fill='{GREY}'/>"
    height = 268 if lines else 226
    drawn = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 760 {height}' width='760' "
        "role='img' aria-label='The parts of the system and their states' "
        "font-family='system-ui, sans-serif' font-size='14'>",
        "<defs><marker id='to' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='7' "
        f"markerHeight='7' orient='auto'>{head}</marker></defs>",
        f"<rect x='0.5' y='0.5' width='759' height='{height - 1}' rx='8' fill='#fff' "
        "stroke='#d0d7de'/>",
        *(
            f"<polyline points='{points}' stroke='{GREY}' stroke-width='2' fill='none' "
            "marker-end='url(#to)'/>"
            for points in ARROWS
        ),
    ]
    for name, box in BOXES.items():
        drawn += _box(box, states.get(name, ""))
    return "\n".join([*drawn, *(_line(*line) for line in lines), "</svg>", ""])


def url(svg: str) -> str:
    """The picture itself as an address: in an ``<img>`` it needs no file beside the page."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _colour(state: str) -> str:
    known = GREEN if state in GOOD else COLOURS.get(state, AMBER)
    return known if state else GREY


def _box(box: Box, state: str) -> list[str]:
    colour, here = _colour(state), state == HERE
    fill, ink = (colour, "#fff") if here else ("#f6f8fa", "#1f2328")
    dashed = " stroke-dasharray='5 4'" if colour == GREY else ""
    return [
        f"<rect x='{box.x}' y='{box.y}' width='{WIDTH}' height='{HEIGHT}' rx='8' fill='{fill}' "
        f"stroke='{colour}' stroke-width='2'{dashed}/>",
        f"<text x='{box.x + 14}' y='{box.y + 27}' font-weight='600' "
        f"fill='{ink}'>{box.step} · {box.title}</text>",
        f"<text x='{box.x + 14}' y='{box.y + 48}' fill='{ink if here else colour}'>"
        f"{html.escape(state)}</text>",
    ]


def _line(x: int, y: int, title: str, state: str) -> str:
    bold = " font-weight='600'" if state == HERE else ""
    return (
        f"<text x='{x}' y='{y}' fill='#1f2328'{bold}>{title}"
        f"<tspan fill='{_colour(state)}' dx='10'>{html.escape(state)}</tspan></text>"
    )
