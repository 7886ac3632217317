"""Buying: the catalogue, the checkout, the order."""

from __future__ import annotations

from environment import Target
from playwright.async_api import Page, expect


class ShopPage:
    """`/account/buy` and `/account/orders/{id}`."""

    def __init__(self, page: Page, target: Target) -> None:
        self.page = page
        self.target = target

    async def open(self, kind: str = "agent") -> None:
        await self.page.goto(f"{self.target.base_url}/account/buy?kind={kind}")
        await expect(self.page.get_by_role("heading", name="Buy", exact=True)).to_be_visible()

    async def has_offers(self) -> bool:
        await expect(
            self.page.get_by_test_id("plan").or_(self.page.get_by_test_id("empty")).first
        ).to_be_visible()
        return await self.page.get_by_test_id("plan").count() > 0

    async def order(self, method: str) -> None:
        """Order the first plan, paid by that method."""
        await self.page.get_by_test_id("buy").first.click()
        await self.page.get_by_label("Pay with").click()
        await self.page.get_by_role("option", name=method).click()
        await self.page.get_by_test_id("order").click()

    async def has_status(self, status: str) -> None:
        await expect(self.page.get_by_test_id("order-status")).to_have_text(status, timeout=30_000)
