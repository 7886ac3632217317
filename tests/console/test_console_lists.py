"""Lists that are longer than one page of the API: nothing of them is beyond reach."""

from __future__ import annotations

import pytest
from browser_stack import sign_in
from console_rig import Rig
from control_world import projected
from msgspec import Struct
from playwright.async_api import Page, expect

from console import session_keys
from console.calls.paging import all_pages
from console_api.control.credits import service as credits
from console_api.database.tables import ApiKey
from kit.clock import new_id, now_ms


class _Numbers(Struct):
    first: int
    next_cursor: str | None


@pytest.mark.parametrize(("most", "firsts"), [(20, [0, 1, 2]), (2, [0, 1]), (1, [0])])
async def test_pages_are_read_to_the_end_or_to_a_limit(most: int, firsts: list[int]) -> None:
    async def read(cursor: str | None) -> _Numbers:
        at = int(cursor or 0)
        return _Numbers(at, str(at + 1) if at < 2 else None)

    assert [page.first for page in await all_pages(read, most)] == firsts


def _key(shop: Rig, instance_id: str, name: str, **fields: object) -> ApiKey:
    made = {
        "key_id": new_id("key"),
        "digest": new_id("digest"),
        "tenant_id": shop.control.tenant_id,
        "org_id": shop.control.org_id,
        "instance_id": instance_id,
        "kind": "secret",
        "name": name,
        "scopes": ("runs:write",),
        "allowed_origins": (),
        "created_by": "test",
        "created_at_ms": now_ms(),
    }
    return ApiKey(**{**made, **fields})


async def test_a_key_older_than_a_hundred_sessions_can_be_revoked(page: Page, shop: Rig) -> None:
    instance_id = await shop.control.add_instance("Much tested")
    await projected(shop.redis, instance_id)
    over = {"name": session_keys.CHAT, "expires_at_ms": 1}
    async with shop.control.database.writing() as session:
        session.add(_key(shop, instance_id, "Welcome", created_at_ms=1))
        session.add_all(_key(shop, instance_id, **over) for _ in range(120))  # type: ignore[arg-type]
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
