"""Lists that are longer than one page of the API: nothing of them is beyond reach."""

from __future__ import annotations

import pytest
from browser_stack import sign_in
from console_rig import Rig
from console_rows import key_row, source_row
from control_world import projected
from msgspec import Struct
from playwright.async_api import Page, expect

from console import session_keys
from console.calls.paging import all_pages
from console_api.control.credits import service as credits
from kit.clock import new_id


class _Numbers(Struct):
    first: int
    next_cursor: str | None


@pytest.mark.parametrize(("most", "firsts"), [(20, [0, 1, 2]), (2, [0, 1]), (1, [0])])
async def test_pages_are_read_to_the_end_or_to_a_limit(most: int, firsts: list[int]) -> None:
    async def read(cursor: str | None) -> _Numbers:
        at = int(cursor or 0)
        return _Numbers(at, str(at + 1) if at < 2 else None)

    assert [page.first for page in await all_pages(read, most)] == firsts


async def test_a_key_older_than_a_hundred_sessions_can_be_revoked(page: Page, shop: Rig) -> None:
    instance_id = await shop.control.add_instance("Much tested")
    await projected(shop.redis, instance_id)
    over = {"name": session_keys.CHAT, "expires_at_ms": 1}
    async with shop.control.database.writing() as session:
        session.add(key_row(shop, instance_id, "Welcome", created_at_ms=1))
        session.add_all(key_row(shop, instance_id, **over) for _ in range(120))  # type: ignore[arg-type]
    await sign_in(page, shop.console_url, await shop.token())
    await page.goto(f"{shop.console_url}/account/instances/{instance_id}/channels")

    keys = page.get_by_test_id("key")
    await expect(keys).to_have_count(1)
    await keys.get_by_role("button", name="Revoke Welcome").click()
    await page.get_by_test_id("confirm").click()
    await expect(keys).to_contain_text("Revoked")


async def test_an_operator_finds_the_oldest_grant_at_the_end(page: Page, shop: Rig) -> None:
    async with shop.control.database.writing() as session:
        for number in range(110):
            event = shop.control.grant(new_id("grant"), reason=f"gift {number}")
            await credits.issue(session, event, actor="test", at_ms=1_000 + number)
    await sign_in(page, shop.console_url, await shop.token("operator", ""))
    await page.goto(f"{shop.console_url}/operate/grants")
    oldest = page.get_by_test_id("grant").filter(has_text="gift 0").last
    await expect(page.get_by_test_id("grant")).to_have_count(100)
    await expect(oldest).to_have_count(0)

    await page.get_by_role("button", name="Show more").click()

    await expect(oldest).to_be_visible()
    await expect(page.get_by_role("button", name="Show more")).to_have_count(0)


async def test_a_source_beyond_the_first_hundred_can_be_deleted(page: Page, shop: Rig) -> None:
    instance_id = await shop.control.add_instance("Well read")
    await projected(shop.redis, instance_id)
    async with shop.control.database.writing() as session:
        session.add(source_row(shop, instance_id, title="The oldest", created_at_ms=1))
        session.add_all(source_row(shop, instance_id) for _ in range(110))
    await sign_in(page, shop.console_url, await shop.token())
    await page.goto(f"{shop.console_url}/account/instances/{instance_id}/data")
    await expect(page.get_by_test_id("source")).to_have_count(111)
    oldest = page.get_by_test_id("source").filter(has_text="The oldest")
    await expect(oldest.get_by_role("button", name="Delete")).to_be_visible()
