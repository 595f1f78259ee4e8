"""JupyterLab as ``make lab`` starts it, used by keyboard and mouse."""

from __future__ import annotations

import json

import pytest
from jupyter_lab import Lab
from playwright.sync_api import Page, expect

FIRST = "notebooks/00_check_environment.ipynb"

pytestmark = pytest.mark.timeout(300)


def test_the_first_notebook_runs_from_top_to_bottom_by_keyboard(lab: Lab, page: Page) -> None:
    lab.open(page, FIRST)
    cells = json.loads((lab.folder / FIRST).read_text("utf-8"))["cells"]
    outputs = lab.run(page, len(cells))
    assert not [one for one in outputs if one["output_type"] == "error"], outputs
    results = [one["data"] for one in outputs if one["output_type"] == "execute_result"]
    assert any("[ OK ] chat-weights" in "".join(one["text/plain"]) for one in results)
    # The checks' lines went when their table came.
    progress = [one for one in outputs if one["output_type"] == "display_data"]
    assert [one["data"]["text/plain"] for one in progress] == [""], progress


@pytest.mark.parametrize("width", [1440, 1024])
@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_picture_fits_and_what_runs_is_drawn(
    lab: Lab, page: Page, width: int, theme: str
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    lab.open(page, FIRST)
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
    )
    light = str(theme == "JupyterLab Light").lower()
    page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")
    lab.run(page, 6)  # To target.status().
    for picture in (
        page.locator(".jp-MarkdownOutput img").first,
        page.locator(".jp-OutputArea-output img").first,
    ):
        picture.scroll_into_view_if_needed()
        expect(picture).to_be_visible()
        wide, loaded, room = picture.evaluate(
            "img => [img.clientWidth, img.naturalWidth, img.parentElement.clientWidth]"
        )
        assert loaded > 0
        assert 400 < wide <= room


def test_links_lead_to_the_readme_and_to_the_next_notebook(lab: Lab, page: Page) -> None:
    lab.open(page, FIRST)
    page.get_by_role("link", name="Contents").first.click()
    tab = page.locator("#jp-main-dock-panel .lm-TabBar-tabLabel")
    expect(tab.get_by_text("README.md")).to_be_visible()
    lab.open(page, FIRST)
    page.get_by_role("link", name="1. Add GPU nodes").first.click()
    expect(tab.get_by_text("01_add_gpu_nodes.ipynb")).to_be_visible()
