"""An instance: its tabs, its keys, and the chat beside them."""

from __future__ import annotations

from environment import Target
from playwright.async_api import Locator, Page, expect
from waiting import eventually

TABS = ("", "data", "channels", "branding", "connectors", "runs", "conversations", "usage")


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
        await expect(self.page.get_by_test_id("connection-state")).to_have_text("Live")

    async def figure(self, testid: str) -> float:
        """Return a live figure as a number."""
        tile = self.page.get_by_test_id(testid)
        await expect(tile).not_to_have_text("\u2013")
        return float((await tile.inner_text()).replace(",", "").replace("M", "e6"))

    async def moves(self, testid: str, before: float) -> None:
        """Wait until a live figure is more than before."""
        await self.page.wait_for_function(
            "([testid, before]) => {"
            " const text = document.querySelector(`[data-testid=${testid}]`).innerText;"
            " return Number(text.replace(/,/g, '').replace('M', 'e6')) > before; }",
            arg=[testid, before],
            timeout=60_000,
        )

    async def ask(self, question: str) -> Locator:
        """Ask in the test chat; return the answer, once its run has ended."""
        await self.page.get_by_test_id("open-chat").click()
        await self.page.get_by_label("Message").fill(question)
        await self.page.keyboard.press("Enter")
        await expect(self.page.get_by_test_id("chat-facts").last).to_be_visible(timeout=60_000)
        return self.page.get_by_test_id("chat-answer").last

    async def ask_and_be_refused(self, question: str) -> Locator:
        """Ask in the test chat what cannot be paid; return what it says."""
        await self.page.get_by_test_id("open-chat").click()
        await self.page.get_by_label("Message").fill(question)
        await self.page.keyboard.press("Enter")
        refused = self.page.locator(".rm-bubble--bad").last
        await expect(refused).to_be_visible(timeout=60_000)
        return refused

    async def upload(self, name: str, kind: str, content: bytes) -> None:
        """Upload a file on *Data & Training*; wait until it can be asked about."""
        await self.tab("data")
        await (
            self.page.get_by_test_id("upload")
            .locator("input[type=file]")
            .set_input_files([{"name": name, "mimeType": kind, "buffer": content}])
        )
        row = self.page.get_by_test_id("source").filter(has_text=name)
        await expect(row.get_by_test_id("status")).to_have_text("Ready")

    async def search(self, question: str) -> Locator:
        """Look at what it finds for a question; return the pieces."""
        await self.page.get_by_test_id("knowledge-query").fill(question)
        await self.page.keyboard.press("Enter")
        return self.page.get_by_test_id("hits")

    async def finds(self, question: str, words: str) -> Locator:
        """Ask until the pieces that are found say these words: what was written is being read."""

        async def found() -> bool:
            hits = await self.search(question)
            return words in await hits.inner_text()

        await eventually(found, f"{words!r} is found")
        return self.page.get_by_test_id("hits")

    async def forget(self, name: str) -> None:
        """Delete a source; wait until it is gone."""
        row = self.page.get_by_test_id("source").filter(has_text=name)
        await row.get_by_role("button", name="Delete").click()
        await self.page.get_by_test_id("confirm").click()
        await expect(row).to_have_count(0)

    async def add_widget(self, origin: str) -> str:
        """Make a widget key for pages of an origin; return the snippet to paste."""
        await self.tab("channels")
        await self.page.get_by_test_id("add-widget").click()
        await self.page.get_by_label("Allowed origins").fill(origin)
        await self.page.get_by_test_id("widget-create").click()
        snippet = await self.page.get_by_test_id("snippet").inner_text()
        await self.page.get_by_test_id("copied").click()
        return snippet

    async def limit(self, label: str, to: str) -> None:
        """Set a limit on *Usage & limits*; empty takes it away."""
        await self.tab("usage")
        await self.page.get_by_label(label).fill(to)
        await self.page.get_by_test_id("save-limits").click()
        await expect(self.page.get_by_text("Limits saved.")).to_be_visible()

    async def steps_done(self) -> list[str]:
        """Return the first steps that are ticked off on *Overview*."""
        return await self.page.locator("[data-testid=step][data-state=done] h3").all_inner_texts()

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
        await self.tab("channels")
        row = self.page.get_by_test_id("key").filter(has_text=name).filter(has_text="Active")
        await row.get_by_role("button", name=f"Revoke {name}").click()
        await self.page.get_by_test_id("confirm").click()
        await expect(self.page.get_by_text(f"{name} is revoked.")).to_be_visible()
