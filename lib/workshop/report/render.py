"""Makes an HTML page of each executed notebook, in a process beside the run.

That process reads paths of notebooks on stdin, and says which pages it has made.
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workshop.core.helper import Helper

NICENESS = 5
"""The run itself goes first."""

SHOWN = (
    *("text/html", "image/svg+xml", "image/png", "image/jpeg"),
    *("text/markdown", "text/plain"),
)
"""What of an output is shown, the best first. Widgets need a server: their text is shown."""

LINK = re.compile(r'href="(\d\d_\w+)\.ipynb"')
"""From notebook to notebook: on a page, from page to page."""


def main() -> None:
    """Render each notebook whose path comes on stdin, until that ends."""
    os.nice(NICENESS)
    make = pages()
    for line in sys.stdin:
        notebook = Path(json.loads(line))
        try:
            html = make(notebook)
            page = notebook.with_suffix(".html")
            page.write_text(html, encoding="utf-8")
        except Exception as error:
            # One notebook that cannot be rendered must not cost the others their pages.
            sys.stderr.write(f"{notebook}: {error}\n")
            continue
        sys.stdout.write(json.dumps(page.name) + "\n")
        sys.stdout.flush()


def pages() -> Any:
    """A function from a notebook's path to its page, which needs nothing from the network."""
    with quick():
        from nbconvert.exporters import HTMLExporter
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]

    from workshop.report.page import template

    exporter = HTMLExporter(template_name="basic")  # type: ignore[no-untyped-call]
    exporter.register_preprocessor(_only_shown, enabled=True)  # type: ignore[no-untyped-call]
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")

    def make(notebook: Path) -> str:
        with quick():
            body, _resources = exporter.from_filename(str(notebook))
        return template("notebook.html.j2").render(
            name=notebook.stem, body=LINK.sub(r'href="\1.html"', body), light=light, dark=dark
        )

    return make


def _only_shown(notebook: Any, resources: Any) -> tuple[Any, Any]:
    """Keep of each output what a page can show."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "data" in output:
                output["data"] = {
                    mime: content for mime, content in output["data"].items() if mime in SHOWN
                }
    return notebook, resources


GRAMMAR = "rfc3987_syntax"
"""The schema library loads it to check internationalised addresses, which no notebook's schema
does: its grammar costs 1 to 2 seconds at import. The library works without it (it is an extra)."""


@contextmanager
def quick() -> Iterator[None]:
    """Import without that grammar, and without the deprecation warnings of the tools themselves."""
    blocked = GRAMMAR not in sys.modules
    if blocked:
        sys.modules[GRAMMAR] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        if blocked:
            del sys.modules[GRAMMAR]


PATIENCE = 60.0
"""Seconds to wait in the end for pages that are not made yet."""


class Renderer:
    """Hands notebooks to the process that renders them; see ``main``.

    nbconvert takes two seconds to import: in a process of its own it costs the run nothing.
    """

    def __init__(self) -> None:
        self._helper: Helper | None = None
        self._pages: set[str] = set()
        self._asked: list[Path] = []

    def add(self, notebook: Path) -> None:
        """Render this notebook when there is time; its page stands beside it."""
        if self._helper is None:
            self._helper = Helper("workshop.report.render", hear=self._pages.add)
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


if __name__ == "__main__":
    main()
