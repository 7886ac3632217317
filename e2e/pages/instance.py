"""An instance: its tabs, its keys, and the chat beside them."""

from __future__ import annotations

from environment import Target
from playwright.async_api import Locator, Page, expect

TABS = ("", "data", "channels", "branding", "connectors", "usage")


class InstancePage:
    """The pages below `/account/instances/{id}`."""

    def __init__(self, page: Page, target: Target, path: str) -> None:
        self.page = page
        self.target = target
        self.path = path

    async def tab(self, name: str) -> None:
        await self.page.goto(f"{self.target.base_url}{self.path}/{name}".rstrip("/"))
        await expect(self.page.get_by_role("navigation", name="Instance")).to_be_visible()

    async def is_live(self) -> None:
        await expect(self.page.get_by_test_id("connection-state")).to_have_text("Live", timeout=15_000)

    async def figure(self, testid: str) -> float:
        """Return a live figure as a number."""
        tile = self.page.get_by_test_id(testid)
        await expect(tile).not_to_have_text("\u2013")
        return float((await tile.inner_text()).replace(",", "").replace("M", "e6"))

    async def ask(self, question: str) -> Locator:
        """Ask in the test chat; return the answer, once its run has ended."""
        await self.page.get_by_test_id("open-chat").click()
        await self.page.get_by_label("Message").fill(question)
        await self.page.keyboard.press("Enter")
        await expect(self.page.get_by_test_id("chat-facts").last).to_be_visible(timeout=60_000)
        return self.page.get_by_test_id("chat-answer").last

    async def create_key(self, name: str) -> str:
        """Make a secret key on *Channels*; return it."""
        await self.tab("channels")
        await self.page.get_by_test_id("create-key").click()
        await self.page.get_by_label("Name", exact=True).fill(name)
        await self.page.get_by_test_id("key-create").click()
        key = await self.page.get_by_test_id("new-key").inner_text()
        await self.page.get_by_test_id("copied").click()
        return key

    async def revoke_key(self, name: str) -> None:
        row = self.page.get_by_test_id("key").filter(has_text=name).filter(has_text="Active")
        await row.get_by_role("button", name=f"Revoke {name}").click()
        await self.page.get_by_test_id("confirm").click()
        await expect(self.page.get_by_text(f"{name} is revoked.")).to_be_visible()
