"""Buying with a test payment, where the installation allows it."""

from __future__ import annotations

import pytest
from pages.console import Console
from playwright.async_api import expect


async def test_an_agent_is_bought_and_becomes_an_instance(console: Console) -> None:
    if not console.target.may_buy:
        pytest.skip("E2E_MAY_BUY is not true for this installation")
    shop = console.shop()
    await shop.open()
    if not await shop.has_offers():
        pytest.skip("this installation offers nothing")
    await shop.order("Test payment")
    await shop.has_status("Pending")
    await console.page.get_by_test_id("pay").click()
    await shop.has_status("Provisioned")
    await console.page.get_by_test_id("open-instance").click()
    await expect(console.page.get_by_test_id("status").first).to_have_text("Active")
