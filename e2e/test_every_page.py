"""Every page opens, asks nobody else for anything, breaks nowhere, and fits a phone."""

from __future__ import annotations

import axe
import pytest
from pages.console import Console, Visit
from pages.instance import TABS
from playwright.async_api import expect

PAGES = (
    "/account/instances",
    "/account/wallet",
    "/account/orders",
    "/account/buy",
    "/account/team",
    "/account/audit",
)
#: Only operators see these.
OPERATORS_PAGES = tuple(
    f"/operate/{name}"
    for name in (
        "orgs",
        "orders",
        "catalogue",
        "prices",
        "grants",
        "corrections",
        "webhooks",
        "letters",
        "reconcile",
        "workers",
        "audit",
    )
)
OPERATOR = "olga@example.com"


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_opens(console: Console, path: str) -> None:
    await console.open(path)
    await expect(console.page.get_by_test_id("loading")).to_have_count(0)
    await expect(console.page.get_by_test_id("error")).to_have_count(0)
    assert console.errors == []
    assert console.outside == []


@pytest.mark.parametrize("tab", TABS)
async def test_a_tab_of_an_instance_opens(console: Console, tab: str) -> None:
    instance = await console.first_instance()
    await instance.tab(tab)
    await expect(console.page.get_by_test_id("loading")).to_have_count(0)
    await expect(console.page.get_by_test_id("error")).to_have_count(0)
    assert console.errors == []
    assert console.outside == []


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_fits_a_phone(console: Console, path: str) -> None:
    await console.page.set_viewport_size({"width": 390, "height": 844})
    await console.open(path)
    await expect(console.page.get_by_test_id("loading")).to_have_count(0)
    assert await console.page.evaluate("document.documentElement.scrollWidth") == 390


async def test_operators_pages_open_fit_a_phone_and_can_be_used_by_everybody(visitor: Visit) -> None:
    console = await visitor(OPERATOR)
    page = console.page
    for path in OPERATORS_PAGES:
        for scheme in ("light", "dark"):
            # Opened in it: colours that change take their time.
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            await console.open(path)
            await expect(page.get_by_test_id("loading")).to_have_count(0)
            await expect(page.get_by_test_id("error")).to_have_count(0)
            assert await axe.violations(page) == [], (path, scheme)
        await page.set_viewport_size({"width": 390, "height": 844})
        assert await page.evaluate("document.documentElement.scrollWidth") == 390, path
        await page.set_viewport_size({"width": 1360, "height": 900})
    assert console.errors == []
    assert console.outside == []
