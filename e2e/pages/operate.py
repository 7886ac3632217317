"""The operators' pages."""

from __future__ import annotations

from environment import Target
from playwright.async_api import Page, expect


class GrantsPage:
    """`/operate/grants`."""

    def __init__(self, page: Page, target: Target) -> None:
        self.page = page
        self.target = target

    async def void_all_of(self, org: str) -> None:
        """Take away what is left of all credits that an organisation was ever given."""
        page = self.page
        await page.goto(f"{self.target.base_url}/operate/grants")
        rows = page.get_by_test_id("grant")
        await expect(rows.first).to_be_visible()
        await page.get_by_label("Organisation", exact=True).click()
        await page.get_by_role("option", name=org, exact=True).click()
        await expect(rows.filter(has_not_text=org)).to_have_count(0)
        left = rows.get_by_role("button", name="Void ")
        while count := await left.count():
            await left.first.click()
            await page.get_by_label("Reason").fill("What happens at zero?")
            await page.get_by_test_id("confirm").click()
            await expect(left).to_have_count(count - 1)
