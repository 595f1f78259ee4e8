"""The process that renders: reads paths of notebooks on stdin, says which pages it has made."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from workshop.run import imports

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
    with imports.quick():
        from nbconvert.exporters import HTMLExporter
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]

    from workshop.run.page import template

    exporter = HTMLExporter(template_name="basic")  # type: ignore[no-untyped-call]
    exporter.register_preprocessor(_only_shown, enabled=True)  # type: ignore[no-untyped-call]
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")

    def make(notebook: Path) -> str:
        with imports.quick():
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


if __name__ == "__main__":
    main()
