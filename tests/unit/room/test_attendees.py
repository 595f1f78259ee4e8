"""How far attendees are, from what their notebooks keep; on a real API server in test_room."""

from __future__ import annotations

import json

from workshop.core.table import Table
from workshop.room import Attendee, attendee, page, summary

QUOTA = {
    "hard": {"requests.cpu": "8", "requests.memory": "32Gi", "pods": "40"},
    "used": {"requests.cpu": "3500m", "requests.memory": "6Gi", "pods": "7"},
}


def told(state: str, at: str, said: str = "") -> str:
    return json.dumps({"state": state, "at": f"2026-11-30T{at}+00:00", "said": said})


def test_the_newest_step_is_shown_with_what_it_said() -> None:
    kept = {
        "00": told("passed", "09:00:00", "18 checks"),
        "02": told("failed", "09:20:00", "model was not ready in time."),
        "01": told("passed", "09:05:00", "no GPU is needed"),
    }
    one = attendee("attendee-7", kept, QUOTA)
    assert (one.namespace, one.passed) == ("attendee-7", 2)
    assert one.now.startswith("02 failed since ")
    assert one.said == "model was not ready in time."
    assert one.quota == "CPU 3500m/8, memory 6Gi/32Gi"


def test_one_who_has_not_begun() -> None:
    assert attendee("attendee-1", {}, {}) == Attendee("attendee-1", 0, "-", "-", "-")


def test_who_needs_help_is_counted_and_a_page_escapes_what_was_said() -> None:
    rows = Table(
        [
            attendee("attendee-1", {"04": told("failed", "10:00:00", "<b>no</b>")}, {}),
            attendee("attendee-2", {"04": told("running", "10:00:00")}, {}),
            attendee("attendee-3", {}, {}),
        ]
    )
    assert summary(rows) == "3 attendees: 2 begun, 1 at a failed cell"
    shown = page("attendee", rows)
    assert "&lt;b&gt;no&lt;/b&gt;" in shown
    assert '<meta http-equiv="refresh" content="10">' in shown
    assert shown.count("<tr>") == 4
