"""My Instances, one instance, and the wallet, from live counters."""

from __future__ import annotations

import aiohttp
from console_world import CREDIT, World

from kit.clock import now_ms


async def _get(http: aiohttp.ClientSession, url: str, world: World) -> dict:
    async with http.get(url, headers=world.headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_instances_are_listed_with_live_figures(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    await world.grant(10 * CREDIT)
    await world.hold("run_1", CREDIT)
    await world.count(started=2, runs=2, completed=2, tokens_in=70, tokens_out=30, charged=2 * CREDIT)
    await world.count(now_ms() - 20 * 60_000, started=1, tokens_in=5)

    page = await _get(http, f"{base_url}/api/v1/account/instances", world)

    (listed,) = page["instances"]
    assert listed["name"] == "Support agent"
    assert listed["totals"]["started"] == 3
    assert listed["totals"]["credits"] == "2.000000"
    assert listed["credits_left_micro"] == 7 * CREDIT
    assert len(listed["last_hour"]) == 12
    assert [point["tokens"] for point in listed["last_hour"] if point["tokens"]] == [5, 100]
    assert page["next_cursor"] is None


async def test_pages_and_search(http: aiohttp.ClientSession, base_url: str, world: World) -> None:
    for name in ("Zeta", "alpha", "Beta", "beta"):
        await world.add_instance(name)
    names: list[str] = []
    url = f"{base_url}/api/v1/account/instances?limit=2"
    page = await _get(http, url, world)
    while True:
        assert page["total"] == 5
        names += [item["name"] for item in page["instances"]]
        if page["next_cursor"] is None:
            break
        page = await _get(http, f"{url}&cursor={page['next_cursor']}", world)
    assert [name.casefold() for name in names] == ["alpha", "beta", "beta", "support agent", "zeta"]

    found = await _get(http, f"{base_url}/api/v1/account/instances?q=BETA", world)
    assert found["total"] == 2


async def test_one_instance(http: aiohttp.ClientSession, base_url: str, world: World) -> None:
    detail = await _get(http, f"{base_url}/api/v1/instances/{world.instance_id}", world)
    assert detail["org_id"] == world.org_id
    assert detail["models"] == ["gpt-4o-mini", "gpt-4o"]
    assert detail["totals"]["runs"] == 0


async def test_wallet_keeps_settled_and_held_apart(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    await world.grant(5 * CREDIT)
    await world.count(started=1, charged=1_250_001)
    await world.hold("run_1", 500_000)
    await world.hold("run_2", 250_000)

    wallet = await _get(http, f"{base_url}/api/v1/wallet", world)

    assert wallet["settled"] == "3.749999"
    assert wallet["held_micro"] == 750_000
    assert wallet["available"] == "2.999999"
    assert wallet["granted_micro"] - wallet["charged_micro"] == wallet["settled_micro"]


async def test_a_wallet_that_was_never_written_is_zero(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    wallet = await _get(http, f"{base_url}/api/v1/wallet", world)
    assert wallet["available"] == "0.000000"
