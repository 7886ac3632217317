"""Limits: a run that cannot be paid is refused, the page says so, and more credits help at once."""

from __future__ import annotations

from uuid import uuid4

import aiohttp
from pages.console import Console, Visit
from pages.instance import InstancePage
from playwright.async_api import expect
from waiting import eventually

OWNER = "grace@example.com"


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

    async def answers(status: int, code: str = "") -> None:
        # Gateways are told of limits within a second, which may be one after the visitor was.
        async def answered() -> bool:
            return await run() == (status, code)

        await eventually(answered, f"a run is answered with {status} {code}")

    await answers(200)
    await instance.limit("Credits a day", "0.000001")
    await answers(402, "insufficient_credits")
    refused = await instance.ask_and_be_refused("Hello?")
    await expect(refused).to_contain_text("raise the instance's daily cap")

    await instance.limit("Credits a day", "")
    await answers(200)
    await instance.revoke_key(name)
