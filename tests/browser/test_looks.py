"""Each page in both themes and two widths: nothing sticks out, and axe finds nothing serious.

`make screenshots` keeps what was seen in `screenshots/`.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

PAGES = {
    "board": "/",
    "filtered": "/?kind=show&country=Norway",
    "empty": "/?genre=Sports&kind=show",
    "title": "/titles/t_salt",
    "hostile": "/titles/t_hostile",
    "operate": "/operate",
    "dashboard": "/operate/dashboards/gateway?span=1h",
    "nowhere": "/titles/nowhere",
}
THEMES = ("light", "dark")
WIDTHS = (1280, 360)
KEPT = os.environ.get("SCREENSHOTS")
Serious = Callable[[Page], list[str]]


def fits(page: Page, name: str) -> None:
    """Nothing sticks out, be the window wide or narrow; what is seen is kept if wanted."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        if KEPT:
            Path(KEPT).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(KEPT) / f"{name}-{width}.png", full_page=True)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_and_keeps_nobody_out(
    eyes: Any, serious: Serious, name: str, theme: str
) -> None:
    page = eyes.open(PAGES[name], theme=theme)
    expect(page.locator("[data-health]")).to_have_attribute("data-health", "ready")
    assert serious(page) == []
    fits(page, f"{name}-{theme}")


@pytest.mark.parametrize("theme", THEMES)
def test_an_answered_page_fits_too(eyes: Any, serious: Serious, theme: str) -> None:
    page = eyes.open(theme=theme)
    page.get_by_label("A plot, in a sentence or two").fill(
        "A detective on a night train falls in love with the woman he follows."
    )
    expect(page.locator("[data-verdict]")).to_have_text("Crime, Romance and 1 more")
    fits(page, f"classified-{theme}")
    page = eyes.open("/titles/t_salt", theme=theme)
    page.get_by_role("button", name="Tell me").click()
    expect(page.locator("[data-stamp]")).to_contain_text("Written by a model")
    page.get_by_role("button", name="Ask the model").click()
    expect(page.locator("[data-verdict]")).to_contain_text("Horror")
    assert serious(page) == []
    fits(page, f"insight-{theme}")
    page.get_by_role("button", name="Report a problem with").click()
    assert serious(page) == []
    fits(page, f"report-{theme}")
