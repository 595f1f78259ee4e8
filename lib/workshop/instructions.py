"""What the agent is told before each question."""

from __future__ import annotations

from typing import Any

from workshop import mongodb, pins

CHOICES = 4
"""A field with at most this many different values is listed with them."""


def text(described: str) -> str:
    """What the agent is told before each question. A small model needs the fields' names."""
    lines = ["You answer questions about a running shop by calling functions; you know nothing "
             "about it yourself."]  # fmt: skip
    if described:
        lines += [
            f"The MongoDB database {mongodb.DATABASE} (always pass "
            f'"connectionId": "{pins.CONNECTION_ID}", '
            f'"database": "{mongodb.DATABASE}") has these collections:',
            described,
            'How many: count with "query", e.g. {"severity": "low"}. One document: find with '
            '"filter", e.g. {"incident_id": "INC-020"} or {"alert_id": "ALT-020"}, and "limit": 1.',
        ]
    lines.append("What to do about a problem is in the runbooks: search them with file_search.")
    return "\n".join(lines)


def describe(database: Any) -> str:
    """A line for each collection: its fields, and the values of those that have few."""
    lines = []
    for name in sorted(database.list_collection_names()):
        first = database[name].find_one() or {}
        fields = []
        for field, value in first.items():
            if field == "_id":
                continue
            values = database[name].distinct(field) if isinstance(value, str) else []
            few = 1 < len(values) <= CHOICES
            fields.append(f"{field} ({', '.join(map(str, sorted(values)))})" if few else field)
        lines.append(f"{name}: {', '.join(fields)}")
    return "\n".join(lines)
