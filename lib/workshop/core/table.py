"""A list of records that a notebook shows as a table."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any


class Table[T](list[T]):
    """A list of dataclass instances of one kind, shown with a row each.

    Example:
        >>> from workshop.targets.base import PartStatus
        >>> Table([PartStatus("mongodb", "running", "mongodb://127.0.0.1:27017", "pid 7")])
        name     state    url                        detail
        mongodb  running  mongodb://127.0.0.1:27017  pid 7
    """

    def _rows(self) -> Iterator[list[str]]:
        names: list[str] = []
        for record in self:
            if not is_dataclass(record):
                continue
            if not names:
                names = [field.name for field in fields(record)]
                yield names
            values: dict[str, Any] = vars(record)
            yield [str(values[name]) for name in names]

    def __repr__(self) -> str:
        return as_text(list(self._rows())) or "(nothing)"

    def _repr_html_(self) -> str:
        rows = list(self._rows())
        return as_html(rows) if rows else "<p>(nothing)</p>"


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines, with each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def as_html(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a table with the first row for its head; what a cell holds is escaped."""
    style = "style='text-align:left;white-space:pre-wrap'"
    body = "".join(
        "<tr>" + "".join(f"<{tag} {style}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"
        for tag, row in zip(["th", *["td"] * len(rows)], rows, strict=False)
    )
    return f"<table>{body}</table>"
