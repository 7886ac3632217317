"""Overview says why an instance does not run as it should; limits say what was used of them."""

from __future__ import annotations

from datetime import UTC, datetime

import axe
import pytest
from browser_stack import sign_in
from console_rig import CREDIT, Rig
from console_rows import connector_row, new_instance, source_row, subscription_row
from playwright.async_api import Page, expect

from console_api.control.directory import service as directory
from kit.clock import now_ms
from schemas.directory import Suspension


@pytest.fixture
async def signed_in(page: Page, shop: Rig) -> Page:
    await sign_in(page, shop.console_url, await shop.token())
    return page


async def test_all_is_well_until_something_is_not(signed_in: Page, shop: Rig) -> None:
    page, instance_id = signed_in, await new_instance(shop, "Healthy")
    where = f"{shop.console_url}/account/instances/{instance_id}"
    await page.goto(where)
    await expect(page.get_by_test_id("all-is-well")).to_have_text("All is well")

    tested = {"tested_at_ms": now_ms(), "test_said": "401"}
    async with shop.control.database.writing() as session:
        session.add(source_row(shop, instance_id, status="failed", title="Handbook"))
        session.add(connector_row(shop, instance_id, "Our CRM", **tested))
        session.add(connector_row(shop, instance_id, "Works", **tested, test_passed=True))
        session.add(connector_row(shop, instance_id, "Switched off", **tested, enabled=False))
        session.add(await subscription_row(session, shop, instance_id, "past_due"))
    await page.goto(where)
    troubles = page.get_by_test_id("trouble")
    await expect(troubles).to_have_count(3)
    for number, (title, who, leads_to) in enumerate(
        (
            ("A payment for this instance is missing", "suspended if", "/account/orders"),
            ("A source could not be read", "Handbook", f"/account/instances/{instance_id}/data"),
            ("A connector failed", "Our CRM", f"/account/instances/{instance_id}/connectors"),
        )
    ):
        await expect(troubles.nth(number)).to_contain_text(title)
        await expect(troubles.nth(number)).to_contain_text(who)
        await expect(troubles.nth(number).get_by_role("link")).to_have_attribute("href", leads_to)
    assert await axe.violations(page) == []


@pytest.mark.parametrize(
    ("reason", "why", "ways"),
    [("payment", "payment is missing", 1), ("dispute", "is disputed", 1), ("operator", "Ask them", 0)],
)
async def test_a_suspended_instance_says_why(
    signed_in: Page, shop: Rig, reason: Suspension, why: str, ways: int
) -> None:
    page, instance_id = signed_in, await new_instance(shop, f"Suspended {reason}")
    async with shop.control.database.writing() as session:
        await directory.set_status(
            session, instance_id, "suspended", actor="test", at_ms=now_ms(), why=reason
        )
    await page.goto(f"{shop.console_url}/account/instances/{instance_id}")
    # Gateways, and with them the page, are told by the relay; the card looks again by itself.
    trouble = page.get_by_test_id("trouble")
    await expect(trouble).to_contain_text("The instance is suspended", timeout=60_000)
    await expect(trouble).to_contain_text(why)
    await expect(trouble.get_by_role("link", name="Orders & billing")).to_have_count(ways)


async def test_caps_say_what_was_used_of_them(signed_in: Page, shop: Rig) -> None:
    page, instance_id = signed_in, await new_instance(shop, "Used")
    now = datetime.now(UTC)
    # Of this month, and on the first of it of this day, too.
    earlier = int(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
    for at_ms, credits in ((now_ms(), 2), (earlier, 3)):
        run = shop.world.run(
            instance_id=instance_id, started_at_ms=at_ms, closed_at_ms=at_ms, charged_micro=credits * CREDIT
        )
        await shop.world.store(shop.clickhouse, run)
    await page.goto(f"{shop.console_url}/account/instances/{instance_id}/usage")
    limits = page.get_by_test_id("limits")
    await expect(limits).to_contain_text(f"Used today: {5 if now.day == 1 else 2}.00")
    await expect(limits).to_contain_text("Used this month: 5.00")
