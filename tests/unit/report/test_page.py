"""The page that people open."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from workshop.report import Report, StepReport
from workshop.report.page import duration, render, timeline

EVIL = "<script>alert('x')</script> & \"quoted\" ✓"


class Reader(HTMLParser):
    """Collects tags, attributes and the text that a reader sees."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.text, self._hidden = [], [], [], 0

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._hidden += tag == "style"
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag):
        self._hidden -= tag == "style"

    def handle_data(self, data):
        if not self._hidden:
            self.text.append(data)


def read(report, pages=()):
    reader = Reader()
    html = render(report, pages)
    reader.feed(html)
    return reader, " ".join(" ".join(reader.text).split()), html


@pytest.fixture
def report():
    check = {"name": EVIL, "ok": False, "expected": EVIL, "seen": EVIL, "seconds": 0.25}
    call = {"name": EVIL, "arguments": {"query": EVIL}, "ok": False}
    answer = {"question": EVIL, "text": EVIL, "seconds": 5.0, "grounded": False, "proof": EVIL}
    return Report(
        "local",
        "2026-11-24T03:13:55+00:00",
        [
            StepReport("00_a", "passed", 10.0, None, [check | {"ok": True}]),
            StepReport("01_b", "skipped", 0.0, EVIL),
            StepReport("02_c", "failed", 140.0, EVIL, [check]),
            StepReport("03_d", "not run", 0.0, "02_c failed"),
        ],
        151.0,
        "failed",
        [answer | {"tool_calls": [call]}, answer | {"tool_calls": [], "text": "none"}],
    )


def test_everything_is_escaped_and_nothing_is_fetched(report):
    reader, text, html = read(report, {"00_a.html"})
    assert "script" not in reader.tags
    assert "<script" not in html
    assert text.count(EVIL) == 14
    assert reader.links == ["00_a.html", "report.json"]
    assert "default-src 'none'" in html
    assert "http://" not in html
    assert "https://" not in html


def test_the_summary(report):
    _, text, _ = read(report)
    assert "Workshop run ✗ failed local target, started 24 November 2026 at 03:13:55 UTC" in text
    assert "time 2 min 31 s" in text
    assert "steps 4 1 passed, 1 skipped, 1 failed, 1 not run" in text
    assert "checks 1 of 2 passed" in text
    assert "answers 0 of 2 grounded" in text
    assert f"02_c failed {EVIL}" in text
    assert "✗ no tool was called" in text
    assert "✗ not grounded" in text


def test_a_run_without_answers_and_without_any_step_done():
    _, text, _ = read(Report("local", "2026-11-24T03:13:55+00:00", [StepReport("00_a")]))
    assert "answers" not in text.lower()
    assert "not run" in text


def test_the_timeline_puts_one_step_after_the_other(report):
    bars = timeline(report.steps)
    assert [(bar.left, bar.width) for bar in bars] == [
        (0.0, 6.667),
        (6.667, 0.0),
        (6.667, 93.333),
        (100.0, 0.0),
    ]
    _, text, _ = read(report)
    assert "0:00 0:30 1:00 1:30 2:00 2:30" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (99.9, "99.9 s"), (99.96, "1 min 40 s"), (3661, "61 min 01 s")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_plots_are_shown_as_the_notebook_showed_them(report):
    plot = {"title": EVIL, "x": "s", "panels": [{"title": EVIL}], "png": "cGl4ZWxz"}
    report.plots = [{"notebook": "09_x", **plot}]
    reader, text, html = read(report)
    assert "data:image/png;base64,cGl4ZWxz" in reader.links
    assert "09_x; the axis below is in s" in text
    assert "<script" not in html
