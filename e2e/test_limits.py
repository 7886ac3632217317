"""Limits: a run that cannot be paid is refused, the page says so, and more credits help at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import aiohttp
from pages.console import Console, Visit
from pages.instance import InstancePage
from playwright.async_api import expect
from waiting import eventually

OWNER, ORG = "grace@example.com", "Second company"
OPERATOR = "olga@example.com"


@dataclass
class Code:
    """The buyer's own code, which calls an instance with a key of it."""

    http: aiohttp.ClientSession
    url: str
    key: str

    async def is_answered(self, status: int, code: str = "") -> None:
        """Run until it is answered so: gateways learn of limits within a second."""

        async def answered() -> bool:
            return await self._run() == (status, code)

        await eventually(answered, f"a run is answered with {status} {code}")

    async def _run(self) -> tuple[int, str]:
        body = {"input": "Hello", "max_tokens": 20}
        headers = {"X-API-Key": self.key}
        async with self.http.post(f"{self.url}/v1/runs", json=body, headers=headers) as answer:
            return answer.status, str((await answer.json()).get("code", ""))


async def _instance(console: Console) -> InstancePage:
    """Return an instance of the visitor's, bought if there is none."""
    await console.open("/account/instances")
    shown = console.page.get_by_test_id("instance").or_(console.page.get_by_test_id("empty"))
    await expect(shown.first).to_be_visible()
    if not await console.page.get_by_test_id("instance").count():
        await console.shop().buy("Starter")
    return await console.first_instance()


@asynccontextmanager
async def _calling(instance: InstancePage, http: aiohttp.ClientSession) -> AsyncIterator[Code]:
    """Code with a key of its own, as long as the block lasts."""
    name = f"Limits {uuid4().hex[:6]}"
    code = Code(http, instance.target.gateway_url, await instance.create_key(name))
    await code.is_answered(200)
    yield code
    await instance.revoke_key(name)


async def test_a_cap_is_reached_and_taken_away(visitor: Visit, http: aiohttp.ClientSession) -> None:
    instance = await _instance(await visitor(OWNER))
    async with _calling(instance, http) as code:
        await instance.limit("Credits a day", "0.000001")
        await code.is_answered(402, "insufficient_credits")
        refused = await instance.ask_and_be_refused("Hello?")
        await expect(refused).to_contain_text("raise the instance's daily cap")

        await instance.limit("Credits a day", "")
        await code.is_answered(200)


async def test_credits_run_out_and_a_pack_helps_at_once(visitor: Visit, http: aiohttp.ClientSession) -> None:
    buyer = await visitor(OWNER)
    instance = await _instance(buyer)
    async with _calling(instance, http) as code:
        await (await visitor(OPERATOR)).grants().void_all_of(ORG)

        await code.is_answered(402, "insufficient_credits")
        await instance.tab("usage")
        banner = buyer.page.get_by_test_id("out-of-credits")
        await expect(banner).to_be_visible()
        await expect(await instance.ask_and_be_refused("Hello?")).to_contain_text("top up the wallet")

        await buyer.shop().buy("", "credits")
        await code.is_answered(200)
        await instance.tab("usage")
        await expect(banner).to_be_hidden()
        await expect(await instance.ask("And now?")).not_to_have_text("")
