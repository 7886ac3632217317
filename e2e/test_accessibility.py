"""WCAG 2.2 AA on every page, in both themes, as far as a machine can tell."""

from __future__ import annotations

import axe
import pytest
from pages.console import Console
from pages.instance import TABS
from playwright.async_api import expect
from test_every_page import PAGES


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", [*PAGES, *(f"tab:{tab}" for tab in TABS)])
async def test_a_page_can_be_used_by_everybody(console: Console, path: str, scheme: str) -> None:
    await console.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    if path.startswith("tab:"):
        await (await console.first_instance()).tab(path.removeprefix("tab:"))
    else:
        await console.open(path)
    await expect(console.page.get_by_test_id("loading")).to_have_count(0)
    assert await axe.violations(console.page) == []
