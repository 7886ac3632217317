"""The wallet and its ledger."""

from __future__ import annotations

from environment import Target
from playwright.async_api import Page, expect


class WalletPage:
    """`/account/wallet`."""

    def __init__(self, page: Page, target: Target) -> None:
        self.page = page
        self.target = target

    async def open(self, about: str = "") -> None:
        await self.page.goto(f"{self.target.base_url}/account/wallet?about={about}")
        await expect(self.page.get_by_test_id("available")).to_be_visible()

    async def micro(self, testid: str) -> int:
        """Return a figure in micro-credits."""
        text = await self.page.get_by_test_id(testid).inner_text()
        whole, _, rest = text.replace(",", "").replace("\u2212", "-").partition(".")
        return int(whole) * 1_000_000 + int((rest + "000000")[:6])
