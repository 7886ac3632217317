"""Alerts in the console: channels are added, tried and removed, rules changed, what was told is shown."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from browser_stack import sign_in
from console_rig import Rig
from playwright.async_api import Page, expect

sys.path.append(str(Path(__file__).parents[1] / "runner"))  # third_parties
sys.path.append(str(Path(__file__).parents[2] / "e2e"))  # axe

import axe
from third_parties import ThirdParty, third_party

from console_api.alerts.intake import fact_of
from console_api.alerts.telling import tell
from kit.clock import now_ms
from schemas.events import LimitEvent


@pytest_asyncio.fixture
async def party() -> AsyncIterator[ThirdParty]:
    async with third_party() as made:
        yield made


@pytest.fixture
async def wallet(page: Page, shop: Rig) -> Page:
    await sign_in(page, shop.console_url, await shop.token())
    await page.goto(f"{shop.console_url}/account/wallet")
    await expect(page.get_by_test_id("alerts")).to_be_visible()
    return page


async def cross(shop: Rig, permille: int) -> None:
    """Let a share of the wallet be used."""
    event = LimitEvent(
        event_id=f"{shop.control.org_id}:1:{permille}",
        tenant_id=shop.control.tenant_id,
        org_id=shop.control.org_id,
        scope="org_wallet",
        used_permille=permille,
        used_micro=permille * 10_000,
        limit_micro=10_000_000,
        period_start_ms=1,
        occurred_at_ms=now_ms(),
    )
    async with shop.control.database.writing() as session:
        fact = await fact_of(session, event)
        assert fact is not None
        assert await tell(session, fact, now_ms())


async def test_alerts_are_set_up_tried_and_seen(wallet: Page, shop: Rig, party: ThirdParty) -> None:
    page = wallet
    row = page.get_by_test_id("alert-channel")
    await expect(row.filter(has_text="Owners")).to_contain_text("No mail is sent from this server.")
    await expect(page.get_by_test_id("no-alerts")).to_be_visible()

    # By keyboard: the button, the kind, the address, and the way out.
    await page.get_by_test_id("add-channel").focus()
    await page.keyboard.press("Enter")
    await page.get_by_label("Name", exact=True).fill("Our pager")
    await page.get_by_role("button", name="Webhook", exact=True).press("Enter")
    await page.get_by_label("Address", exact=True).fill(f"{party.url}/pager")
    assert await axe.violations(page) == []
    await page.get_by_test_id("save-channel").press("Enter")
    secret = page.get_by_test_id("signing-secret")
    await expect(secret).to_contain_text("whsec_")
    await page.get_by_test_id("copied").press("Enter")
    await expect(row.filter(has_text="Our pager")).to_contain_text("/pager")

    await page.get_by_role("button", name="Send a test to Our pager").click()
    await expect(page.get_by_text("A test message was taken.")).to_be_visible()
    assert party.asked[0].headers["webhook-signature"].startswith("v1,")
    await expect(row.filter(has_text="Our pager")).to_contain_text("Passed")

    await page.get_by_role("button", name="Change Credits used").click()
    await page.get_by_label("Goes to").click()
    await page.get_by_role("option", name="Our pager").click()
    await page.keyboard.press("Escape")
    await page.get_by_test_id("save-rule").click()
    rule = page.get_by_test_id("alert-rule").filter(has_text="Credits used")
    await expect(rule).to_contain_text("Owners, Our pager")

    await cross(shop, 800)
    await page.reload()
    alert = page.get_by_test_id("alert").filter(has_text="80 % of your credits are used")
    await expect(alert.get_by_text("Sent", exact=True)).to_be_visible(timeout=90_000)
    await expect(alert).to_contain_text("No mail server is set up here.")
    assert len(party.asked) == 2
    assert await axe.violations(page) == []

    await page.get_by_role("button", name="Remove Our pager").click()
    await page.get_by_test_id("confirm").click()
    await expect(row.filter(has_text="Our pager")).to_have_count(0)


async def test_viewers_see_alerts_and_change_none(page: Page, shop: Rig) -> None:
    await sign_in(page, shop.console_url, await shop.token("viewer"))
    await page.goto(f"{shop.console_url}/account/wallet")

    await expect(page.get_by_test_id("alert-rule")).to_have_count(5)
    await expect(page.get_by_test_id("add-channel")).to_have_count(0)
    await expect(page.get_by_role("button", name="Change Credits used")).to_have_count(0)
