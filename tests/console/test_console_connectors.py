"""Connectors in the console: what the visitors of an owner's pages may use of them."""

from __future__ import annotations

import pytest
from browser_stack import sign_in
from console_rig import Rig
from playwright.async_api import Page, expect


@pytest.fixture
async def tab(page: Page, shop: Rig) -> Page:
    await sign_in(page, shop.console_url, await shop.token())
    await page.goto(f"{shop.console_url}/account/instances/{shop.world.instance_id}/connectors")
    return page


async def test_an_owner_says_whether_visitors_may_use_a_connector(tab: Page) -> None:
    switch = tab.get_by_role("switch", name="Visitors of your pages may use it")
    await tab.get_by_role("button", name="Connect HubSpot").click()
    await expect(switch).not_to_be_checked()
    await tab.get_by_role("button", name="Cancel").click()
    await expect(switch).to_have_count(0)

    await tab.get_by_role("button", name="Connect Slack").click()
    await expect(switch).to_be_checked()
    await tab.get_by_label("Channel").fill("#help")
    await tab.get_by_label("Bot token").fill("xoxb-1234567890-abcdef")
    await switch.click()
    await tab.get_by_role("button", name="Save").click()
    connector = tab.get_by_test_id("connector")
    await expect(connector).to_contain_text("Visitors of your pages may not use it.")

    await connector.get_by_role("button", name="Settings").click()
    await expect(switch).not_to_be_checked()
    await switch.click()
    await tab.get_by_role("button", name="Save").click()
    await expect(connector).to_contain_text("Visitors of your pages may use it, too.")
