"""What a tenant's operator does to an organisation."""

from __future__ import annotations

from environment import Target
from playwright.async_api import Page, expect


class GrantsPage:
    """`/operate/grants`."""

    def __init__(self, page: Page, target: Target) -> None:
        self.page = page
        self.target = target

    async def void_all_of(self, org: str) -> None:
        """Take away what is left of every grant of an organisation."""
        await self.page.goto(f"{self.target.base_url}/operate/grants")
        await self.page.get_by_role("combobox", name="Organisation").click()
        await self.page.get_by_role("option", name=org, exact=True).click()
        given = self.page.get_by_test_id("grant")
        await expect(given.first).to_be_visible()
        await expect(given.filter(has_not_text=org)).to_have_count(0)
        void = given.get_by_role("button", name="Void")
        while left := await void.count():
            await void.first.click()
            await self.page.get_by_label("Reason").fill("for a test")
            await self.page.get_by_test_id("confirm").click()
            await expect(void).to_have_count(left - 1)
