"""A list of records that a notebook shows as a table; and texts as they are shown elsewhere."""

import html
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass


class Table[T](list[T]):
    """A list of dataclass instances of one kind, shown with a row each.

    Example:
        >>> from workshop.targets.base import PartStatus
        >>> Table([PartStatus("mongodb", "running", "mongodb://127.0.0.1:27017", "pid 7")])
        name     state    url                        detail
        mongodb  running  mongodb://127.0.0.1:27017  pid 7
    """

    def _rows(self) -> list[list[str]]:
        """The fields' names, and each record's values; nothing without a record."""
        if not self or not is_dataclass(self[0]):
            return []
        names = [field.name for field in fields(self[0])]
        return [names, *([str(getattr(record, name)) for name in names] for record in self)]

    def __repr__(self) -> str:
        return as_text(self._rows()) or "(nothing)"

    def _repr_html_(self) -> str:
        rows = self._rows()
        return as_html(rows) if rows else "<p>(nothing)</p>"


class Row:
    """A record that is shown as a table of one row: a base of dataclasses with ``repr=False``."""

    def __repr__(self) -> str:
        return repr(Table([self]))

    def _repr_html_(self) -> str:
        return Table([self])._repr_html_()


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


def counted(number: int, thing: str) -> str:
    """A number of things in words: ``1 check``, ``2 checks``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def shortened(text: str, limit: int) -> str:
    """The text, or its beginning with ``…`` in the place of what is beyond the limit."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def write(*lines: str) -> None:
    """Show a command's lines on stdout, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
