"""Limits: a run that cannot be paid is refused, the page says so, and more credits help at once."""

from __future__ import annotations

from uuid import uuid4

import aiohttp
from pages.console import Console, Visit
from pages.instance import InstancePage
from playwright.async_api import expect

OWNER, ORG = "grace@example.com", "Second company"
OPERATOR = "olga@example.com"


async def _instance(console: Console) -> InstancePage:
    """Return an instance of the visitor's, bought if there is none."""
    await console.open("/account/instances")
    shown = console.page.get_by_test_id("instance").or_(console.page.get_by_test_id("empty"))
    await expect(shown.first).to_be_visible()
    if not await console.page.get_by_test_id("instance").count():
        await console.shop().buy("Starter")
    return await console.first_instance()


async def test_a_cap_is_reached_and_taken_away(visitor: Visit, http: aiohttp.ClientSession) -> None:
    console = await visitor(OWNER)
    instance = await _instance(console)
    name = f"Caps {uuid4().hex[:6]}"
    key = await instance.create_key(name)
    headers = {"X-API-Key": key}

    async def run() -> tuple[int, str]:
        body = {"input": "Hello", "max_tokens": 20}
        async with http.post(f"{console.target.gateway_url}/v1/runs", json=body, headers=headers) as answer:
            return answer.status, str((await answer.json()).get("code", ""))

    assert await run() == (200, "")
    await instance.limit("Credits a day", "0.000001")
    status, code = await run()
    assert (status, code) == (402, "insufficient_credits")
    refused = await instance.ask_and_be_refused("Hello?")
    await expect(refused).to_contain_text("raise the instance's daily cap")

    await instance.limit("Credits a day", "")
    assert await run() == (200, "")
    await instance.revoke_key(name)


async def test_a_wallet_runs_dry_and_a_pack_of_credits_helps(visitor: Visit) -> None:
    console = await visitor(OWNER)
    instance = await _instance(console)
    desk = await visitor(OPERATOR)
    await desk.grants().void_all_of(ORG)

    await instance.tab("")
    banner = console.page.get_by_test_id("out-of-credits")
    await expect(banner).to_be_visible()
    refused = await instance.ask_and_be_refused("Hello?")
    await expect(refused).to_contain_text("top up the wallet")

    await instance.tab("")
    await banner.get_by_role("link", name="Add credits").click()
    await console.page.wait_for_url("**/account/buy?kind=credits")
    await console.shop().buy("1,000 credits", kind="credits")

    await instance.tab("")
    await instance.is_live()
    await expect(banner).to_be_hidden()
    assert await (await instance.ask("Hello again?")).inner_text()
    assert console.errors == []
