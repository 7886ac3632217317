"""A page whose own connection is lost says so, and resumes where things are by then."""

from __future__ import annotations

from browser_stack import sign_in
from console_world import CREDIT, World
from cut_proxy import proxy
from playwright.async_api import Page, expect
from yarl import URL


async def test_a_lost_connection_says_so_and_resumes_without_a_reload(
    page: Page, console_url: str, world: World
) -> None:
    await world.grant(10 * CREDIT)
    address = URL(console_url)
    assert address.host
    assert address.port
    async with proxy(address.host, address.port) as between:
        there = f"http://127.0.0.1:{between.port}"
        await sign_in(page, there, world.token)
        await page.goto(f"{there}/account/instances/{world.instance_id}")
        state = page.get_by_test_id("connection-state")
        await expect(state).to_have_text("Live")
        await page.evaluate("window.neverReloaded = true")

        between.cut()
        await expect(state).to_have_text("Reconnecting")
        await world.count(started=1, runs=1, completed=1, tokens_in=42, charged=CREDIT)
        await expect(page.get_by_test_id("tokens-in")).not_to_have_text("42")

        between.mend()
        await expect(state).to_have_text("Live")
        await expect(page.get_by_test_id("tokens-in")).to_have_text("42")
        await expect(page.get_by_test_id("balance")).to_have_text("9.00")
        assert await page.evaluate("window.neverReloaded")

        # And it is live again, not only brought up to date.
        await world.count(tokens_in=8)
        await expect(page.get_by_test_id("tokens-in")).to_have_text("50")
