"""The pages that a widget opens on: changed by hand, and let in when they tried in vain."""

from __future__ import annotations

import axe
from browser_stack import sign_in
from console_rig import Rig
from console_rows import key_row, new_instance
from playwright.async_api import Page, expect

from kit.clock import now_ms
from metering.windows import start_of
from schemas import keys


async def test_origins_are_edited_and_blocked_pages_let_in(page: Page, shop: Rig) -> None:
    instance_id = await new_instance(shop, "On pages")
    row = key_row(shop, instance_id, "Website", kind="widget", allowed_origins=("https://a.example",))
    key_id = row.key_id
    async with shop.control.database.writing() as session:
        session.add(row)
    today = keys.widget_blocked(shop.world.partition, key_id, start_of("day", now_ms()))
    await shop.redis.hset(today, mapping={"https://b.example": 7, keys.OTHER_ORIGINS: 1})  # type: ignore[misc]

    await sign_in(page, shop.console_url, await shop.token())
    await page.goto(f"{shop.console_url}/account/instances/{instance_id}/channels")
    origins, blocked = page.get_by_test_id("origins"), page.get_by_test_id("blocked-origin")
    await expect(blocked).to_have_count(2)
    await expect(blocked.first).to_contain_text("7 tries")
    await expect(blocked.last).to_contain_text("Other pages")
    await expect(page.get_by_role("button", name="Allow")).to_have_count(1)
    assert await axe.violations(page) == []

    await page.get_by_role("button", name="Allow https://b.example").click()
    await expect(origins).to_have_text("https://a.example, https://b.example")
    await expect(blocked).to_have_count(1)

    await page.get_by_role("button", name="Edit origins of Website").click()
    await page.get_by_label("Allowed origins").fill("http://evil.example")
    await page.get_by_test_id("save-origins").click()
    await expect(page.get_by_role("alert").last).to_contain_text("https")
    await page.get_by_label("Allowed origins").fill("https://c.example\nhttp://localhost:3000")
    await page.get_by_test_id("save-origins").click()
    await expect(origins).to_have_text("https://c.example, http://localhost:3000")
