"""What a visitor asks becomes a run, a figure, a ledger entry; the figures move without a reload."""

from __future__ import annotations

from uuid import uuid4

import aiohttp
from environment import Target
from pages.console import Console
from playwright.async_api import expect
from waiting import eventually


async def test_a_question_in_the_test_chat_is_answered_metered_and_charged(console: Console) -> None:
    instance = await console.first_instance()
    await instance.is_live()
    before = await instance.figure("tokens-in")
    await console.page.evaluate("window.neverReloaded = true")

    answer = await instance.ask("What can you help me with?")

    assert len(await answer.inner_text()) > 3
    await expect(console.page.get_by_test_id("chat-facts").last).to_contain_text("credits")
    async with console.page.expect_navigation():
        # The tile moved first, on the page that was open all the time.
        await instance.moves("tokens-in", before)
        assert await console.page.evaluate("window.neverReloaded")
        await console.page.get_by_role("link", name="See the run").click()

    await expect(console.page.get_by_test_id("timeline")).to_contain_text("Charged")
    run_id = console.page.url.partition("/runs/")[2].partition("?")[0]
    await console.wallet().open(about=run_id)
    await expect(console.page.get_by_test_id("entry")).to_have_count(1)
    await expect(console.page.get_by_test_id("entry")).to_contain_text("Usage")


async def test_the_control_plane_is_up_and_tells_strangers_nothing(
    target: Target, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{target.cp_url}/healthz") as answer:
        assert answer.status == 200
    async with http.get(f"{target.cp_url}/openapi.json") as answer:
        assert "/api/v1/account/instances" in (await answer.json())["paths"]
    async with http.get(f"{target.cp_url}/api/v1/account/instances") as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "unauthorized")


async def test_a_run_of_code_elsewhere_moves_the_figures_of_an_open_page(
    console: Console, http: aiohttp.ClientSession
) -> None:
    instance = await console.first_instance()
    name = f"Elsewhere {uuid4().hex[:6]}"
    headers = {"X-API-Key": await instance.create_key(name)}
    await instance.tab("")
    await instance.is_live()
    figures = ("runs", "tokens-in", "tokens-out", "credits-used")
    before = {figure: await instance.figure(figure) for figure in figures}
    await console.page.evaluate("window.neverReloaded = true")

    url, body = f"{console.target.gateway_url}/v1/runs", {"input": "Hello from elsewhere"}
    async with http.post(url, json=body, headers=headers) as answer:
        assert answer.status == 200

    for figure in figures:
        await instance.moves(figure, before[figure])
    assert await console.page.evaluate("window.neverReloaded")
    await instance.revoke_key(name)


async def test_a_key_opens_the_gateway_until_it_is_revoked(
    console: Console, http: aiohttp.ClientSession
) -> None:
    instance = await console.first_instance()
    name = f"E2E key {uuid4().hex[:6]}"
    key = await instance.create_key(name)
    url, body = f"{console.target.gateway_url}/v1/runs", {"input": "Hello"}
    headers = {"X-API-Key": key}
    async with http.post(url, json=body, headers=headers) as answer:
        assert answer.status == 200
    await instance.revoke_key(name)

    async def refused() -> bool:
        async with http.post(url, json=body, headers=headers) as answer:
            return answer.status == 401

    # Every gateway is told within a second, which may be one after the visitor was.
    await eventually(refused, "the key opens nothing any more")
