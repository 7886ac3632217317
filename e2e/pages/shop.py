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

    async def order(self, method: str, plan: str = "") -> None:
        """Order the first plan, or the one of that name, paid by that method."""
        offered = self.page.get_by_test_id("plan").filter(has_text=plan) if plan else self.page
        await offered.get_by_test_id("buy").first.click()
        await self.page.get_by_label("Pay with").click()
        await self.page.get_by_role("option", name=method).click()
        await self.page.get_by_test_id("order").click()

    async def buy(self, plan: str, kind: str = "agent") -> None:
        """Order, and pay with a test payment; wait until it is there."""
        await self.open(kind)
        await self.order("Test payment", plan)
        await self.has_status("Pending")
        await self.page.get_by_test_id("pay").click()
        await self.has_status("Provisioned")

    async def has_status(self, status: str) -> None:
        await expect(self.page.get_by_test_id("order-status")).to_have_text(status)
