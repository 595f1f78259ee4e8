"""Makes an HTML page of an executed notebook, which needs nothing from the network."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

SHOWN = (
    *("text/html", "image/svg+xml", "image/png", "image/jpeg"),
    *("text/markdown", "text/plain"),
)
"""What of an output is shown, the best first. Widgets need a server: their text is shown."""

LINK = re.compile(r'href="(\d\d_\w+)\.ipynb"')
"""From notebook to notebook: on a page, from page to page."""

GRAMMAR = "rfc3987_syntax"
"""The schema library loads it to check internationalised addresses, which no notebook's schema
does: its grammar costs 1 to 2 seconds at import. The library works without it (it is an extra)."""


def page(notebook: Path) -> str:
    """Write the page of a notebook beside it; gives its name."""
    from workshop.report.page import template

    with warnings.catch_warnings():
        # The tools' own. An output that has nothing to show is no news either.
        warnings.simplefilter("ignore")
        body, _resources = _exporter().from_filename(str(notebook))
        light, dark = _colours("default"), _colours("github-dark")
    html = template("notebook.html.j2").render(
        name=notebook.stem, body=LINK.sub(r'href="\1.html"', body), light=light, dark=dark
    )
    written = notebook.with_suffix(".html")
    written.write_text(html, encoding="utf-8")
    return written.name


@cache
def _exporter() -> Any:
    from nbconvert.exporters import HTMLExporter
    from traitlets.config import Config

    config = Config(NbConvertBase={"display_data_priority": list(SHOWN)})
    return HTMLExporter(config, template_name="basic")  # type: ignore[no-untyped-call]


def _colours(style: str) -> Any:
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]

    return HtmlFormatter(style=style).get_style_defs(".highlight")


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
