"""Makes an HTML page of each executed notebook, beside the run."""

from __future__ import annotations

from pathlib import Path

from workshop.run.helper import Helper

PATIENCE = 60.0
"""Seconds to wait in the end for pages that are not made yet."""


class Renderer:
    """Hands notebooks to the process that renders them; see ``workshop.run.render``.

    nbconvert takes two seconds to import: in a process of its own it costs the run nothing.
    """

    def __init__(self) -> None:
        self._helper: Helper | None = None
        self._pages: set[str] = set()
        self._asked: list[Path] = []

    def add(self, notebook: Path) -> None:
        """Render this notebook when there is time; its page stands beside it."""
        if self._helper is None:
            self._helper = Helper("workshop.run.render", hear=self._pages.add)
        self._asked.append(notebook)
        self._helper.send(str(notebook))

    def finish(self) -> set[str]:
        """Wait until all is rendered; gives the names of the pages that were made."""
        if self._helper is not None:
            self._helper.finish(PATIENCE)
        return set(self._pages)

    @property
    def missing(self) -> list[str]:
        """The notebooks of which there is no page."""
        return [p.name for p in self._asked if p.with_suffix(".html").name not in self._pages]

    def close(self) -> None:
        """End the process."""
        if self._helper is not None:
            self._helper.close(at_once=True)
