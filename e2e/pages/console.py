"""The console as a whole: signing in, going places, and what must never happen on any page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest
from environment import Target
from playwright.async_api import Page, Request, expect

from pages.instance import InstancePage
from pages.operator import GrantsPage
from pages.shop import ShopPage
from pages.wallet import WalletPage


class Console:
    """A browser tab with somebody signed in."""

    def __init__(self, page: Page, target: Target) -> None:
        self.page = page
        self.target = target
        self.errors: list[str] = []
        self.outside: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        parts = urlsplit(request.url)
        ours = {urlsplit(self.target.base_url).netloc, urlsplit(self.target.gateway_url).netloc}
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc not in ours:
            self.outside.append(request.url)

    async def open(self, path: str) -> None:
        """Go to a path and wait until its heading is there."""
        await self.page.goto(f"{self.target.base_url}{path}")
        await expect(self.page.get_by_role("heading", level=1).first).to_be_visible()

    async def sign_in(self) -> None:
        """Sign in as the environment says; a development console may have somebody signed in already."""
        page, target = self.page, self.target
        await page.goto(f"{target.base_url}/account/instances")
        if "/sign-in" not in page.url:
            return
        if await page.get_by_label("Access token").count():
            if not target.token:
                pytest.skip("set E2E_TOKEN to an access token of the installation")
            await page.get_by_label("Access token").fill(target.token)
            await page.keyboard.press("Enter")
        else:
            if not target.user:
                pytest.skip("set E2E_USER and E2E_PASSWORD for the installation's issuer")
            await page.get_by_test_id("submit").click()
            await page.locator("input[type=password]").wait_for()
            chosen = page.get_by_text(target.user, exact=True)
            name = page.get_by_label("Username or email").or_(page.get_by_label("Email"))
            # The development issuer lists its users; others ask who it is.
            await (chosen.click() if await chosen.count() else name.first.fill(target.user))
            await page.locator("input[type=password]").fill(target.password)
            await page.keyboard.press("Enter")
        await page.wait_for_url(f"{target.base_url}/account/instances")
        self.outside.clear()  # the issuer's pages are elsewhere

    async def first_instance(self) -> InstancePage:
        """Open the first active instance of *My Instances*."""
        await self.open("/account/instances")
        card = self.page.get_by_test_id("instance").filter(has_text="Active").first
        await expect(card).to_be_visible()
        href = await card.get_attribute("href")
        assert href
        await card.click()
        return InstancePage(self.page, self.target, href)

    def wallet(self) -> WalletPage:
        return WalletPage(self.page, self.target)

    def grants(self) -> GrantsPage:
        return GrantsPage(self.page, self.target)

    def shop(self) -> ShopPage:
        return ShopPage(self.page, self.target)


#: Opens the console in a browser of its own as a user of that name.
Visit = Callable[[str], Awaitable[Console]]
