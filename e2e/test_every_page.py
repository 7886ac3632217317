"""Every page opens, asks nobody else for anything, breaks nowhere, and fits a phone."""

from __future__ import annotations

import pytest
from pages.console import Console
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


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_opens(console: Console, path: str) -> None:
    await console.open(path)
    await expect(console.page.get_by_test_id("loading")).to_have_count(0, timeout=15_000)
    await expect(console.page.get_by_test_id("error")).to_have_count(0)
    assert console.errors == []
    assert console.outside == []


@pytest.mark.parametrize("tab", TABS)
async def test_a_tab_of_an_instance_opens(console: Console, tab: str) -> None:
    instance = await console.first_instance()
    await instance.tab(tab)
    await expect(console.page.get_by_test_id("loading")).to_have_count(0, timeout=15_000)
    await expect(console.page.get_by_test_id("error")).to_have_count(0)
    assert console.errors == []
    assert console.outside == []


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_fits_a_phone(console: Console, path: str) -> None:
    await console.page.set_viewport_size({"width": 390, "height": 844})
    await console.open(path)
    await expect(console.page.get_by_test_id("loading")).to_have_count(0, timeout=15_000)
    assert await console.page.evaluate("document.documentElement.scrollWidth") == 390
