"""Which org a page acts for: the one that it says, whatever other tabs of the browser chose since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from browser_stack import sign_in
from console_rig import Rig
from playwright.async_api import Page, expect

from console_api.control.directory import service as directory
from kit.clock import new_id, now_ms


@pytest_asyncio.fixture(scope="session")
async def beta(shop: Rig) -> str:
    """Another org of the marketplace."""
    async with shop.control.database.writing() as session:
        org = await directory.ensure_org(session, shop.control.tenant_id, "Beta GmbH", at_ms=now_ms())
        return org.org_id


async def _act_for(page: Page, shop: Rig, name: str) -> None:
    await page.goto(f"{shop.console_url}/operate/orgs")
    await page.get_by_role("button", name=f"Act for {name}").click()
    await page.wait_for_url("**/account/instances")


async def _invited(shop: Rig, token: str, org_id: str) -> list[str]:
    headers = {"Authorization": f"Bearer {token}", "X-Runmeter-Org": org_id}
    url = f"{shop.api_url}/api/v1/account/team"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
        found: dict[str, Any] = await answer.json()
    return [one["email"] for one in found["invitations"]]


def _holds(path: Path, text: str) -> bool:
    return text in path.read_text()


async def test_a_page_goes_on_acting_for_the_org_that_it_says(page: Page, shop: Rig, beta: str) -> None:
    ours, theirs = shop.world.entry("of-the-first", -7), shop.world.entry("of-beta", -9, org_id=beta)
    await shop.world.record(shop.clickhouse, ours, theirs)
    token = await shop.token("operator", "")
    await sign_in(page, shop.console_url, token)
    await _act_for(page, shop, "A buyer")
    wallet, team = await page.context.new_page(), page
    await wallet.goto(f"{shop.console_url}/account/wallet?about=of-the-first")
    await expect(wallet.get_by_test_id("entry")).to_have_count(1)
    await team.goto(f"{shop.console_url}/account/team")
    await team.get_by_test_id("invite").click()

    elsewhere = await page.context.new_page()
    await _act_for(elsewhere, shop, "Beta GmbH")
    await elsewhere.goto(f"{shop.console_url}/account/wallet")
    await expect(elsewhere.get_by_test_id("acting-for")).to_contain_text(beta)

    email = f"{new_id('carol')}@example.com"
    await team.get_by_test_id("invite-email").fill(email)
    await team.get_by_test_id("send-invitation").click()
    await expect(team.get_by_test_id("invitation").filter(has_text=email)).to_be_visible()
    assert email in await _invited(shop, token, shop.control.org_id)
    assert email not in await _invited(shop, token, beta)

    async with wallet.expect_download() as started:
        await wallet.get_by_test_id("ledger-csv").click()
    assert _holds(await (await started.value).path(), "of-the-first")
    await wallet.get_by_label("Run or grant").fill("of-beta")
    await expect(wallet.get_by_test_id("no-entries")).to_be_visible()


async def test_somebody_who_was_removed_from_the_org_they_chose_is_shown_one_of_theirs(
    page: Page, shop: Rig, beta: str
) -> None:
    token = await shop.token("operator", "")
    await sign_in(page, shop.console_url, token)
    await _act_for(page, shop, "Beta GmbH")
    await expect(page.get_by_test_id("acting-for")).to_contain_text(beta)

    await shop.world.add_token(token, shop.control.org_id, "member")
    await page.goto(f"{shop.console_url}/account/wallet")

    await page.wait_for_url("**/account/instances")
    await expect(page.get_by_test_id("org")).to_contain_text(shop.control.org_id)
    await expect(page.get_by_test_id("instance").first).to_be_visible()
