"""Every page opens, in both themes; asks nobody else for anything; fits a phone; can be used by everybody.

By everybody: WCAG 2.2 AA, as far as a machine can tell.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

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
_PHONE = {"width": 390, "height": 844}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_sound(console: Console, path: str) -> None:
    await _is_sound(console, partial(console.open, path))


@pytest.mark.parametrize("tab", TABS)
async def test_a_tab_of_an_instance_is_sound(console: Console, tab: str) -> None:
    instance = await console.first_instance()
    await _is_sound(console, partial(instance.tab, tab))


@pytest.mark.parametrize("path", OPERATORS_PAGES)
async def test_an_operators_page_is_sound(visitor: Visit, path: str) -> None:
    console = await visitor(OPERATOR)
    await _is_sound(console, partial(console.open, path))


async def _is_sound(console: Console, opened: Callable[[], Awaitable[None]]) -> None:
    page = console.page
    for scheme in ("dark", "light"):
        # Opened in it: colours that change take their time.
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        await opened()
        await expect(page.get_by_test_id("loading")).to_have_count(0)
        await expect(page.get_by_test_id("error")).to_have_count(0)
        assert await axe.violations(page) == [], scheme
    await page.set_viewport_size(_PHONE)  # type: ignore[arg-type]
    assert await page.evaluate("document.documentElement.scrollWidth") == _PHONE["width"]
    assert console.errors == []
    assert console.outside == []
