"""A JupyterLab that a browser shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

CURRENT = "window.jupyterapp.shell.currentWidget"


@dataclass(frozen=True)
class Lab:
    """A JupyterLab that ``make lab`` started, on a copy of what people open."""

    url: str
    token: str
    folder: Path

    def open(self, page: Page, path: str) -> None:
        """Show a file in its editor; a notebook when its kernel is there."""
        page.goto(f"{self.url}/lab/tree/{path}?token={self.token}&reset")
        page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.context?.isReady")
        if path.endswith(".ipynb"):
            page.wait_for_function(f"() => {CURRENT}.sessionContext.session?.kernel")

    def run(self, page: Page, cells: int) -> list[dict[str, Any]]:
        """Run so many cells with Shift+Enter, as a person does; gives the outputs of all."""
        page.evaluate(f"() => {{ {CURRENT}.content.activeCellIndex = 0; }}")
        page.locator(".jp-Notebook").focus()
        for _cell in range(cells):
            page.keyboard.press("Shift+Enter")
        page.wait_for_function(
            f"""count => {{
                const cells = {CURRENT}.content.widgets.slice(0, count)
                    .map(cell => cell.model).filter(cell => cell.type == "code");
                const failed = cell => cell.outputs.toJSON().some(o => o.output_type == "error");
                return cells.every(c => c.executionCount && c.executionState == "idle")
                    || cells.some(failed);
            }}""",
            arg=cells,
        )
        found: list[dict[str, Any]] = page.evaluate(
            f"() => {CURRENT}.content.widgets.flatMap(cell => cell.model.outputs?.toJSON() ?? [])"
        )
        return found
