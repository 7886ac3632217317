"""The wallet as it stands now: burn order, what time has done, what it will do."""

from __future__ import annotations

import aiohttp
import pytest
from console_world import CREDIT, World
from redis.asyncio import Redis
from sse_reader import live

from console_api.wallet.models import WalletDetail
from kit.clock import now_ms
from metering.wallet import RETURNED
from schemas.events import GrantEvent

MINUTE_MS = 60_000
DAY_MS = 86_400_000


async def read(http: aiohttp.ClientSession, base_url: str, world: World) -> dict:
    async with http.get(f"{base_url}/api/v1/wallet", headers=world.headers) as answer:
        assert answer.status == 200, await answer.text()
        wallet = await answer.json()
    # The answer has exactly the shape that the contract publishes.
    assert WalletDetail.model_validate(wallet, extra="forbid").model_dump() == wallet
    for name in [name for name in wallet if f"{name}_micro" in wallet]:
        assert round(float(wallet[name]) * CREDIT) == wallet[f"{name}_micro"]
    return wallet


def adds_up(wallet: dict) -> bool:
    """Return whether all that was ever given and taken is what remains."""
    taken = sum(wallet[f"{name}_micro"] for name in ("charged", "expired", "voided", "refunded"))
    left = sum(bucket["remaining_micro"] for bucket in wallet["buckets"])
    return wallet["granted_micro"] - taken == left - wallet["debt_micro"]


def command(world: World, action: str, grant_id: str, credits: int = 0) -> GrantEvent:
    return world.issue(grant_id, credits, action=action, command_id=f"{action}_{grant_id}")


async def test_buckets_stand_in_the_order_in_which_they_are_spent(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    now = now_ms()
    await world.settle(
        world.issue("forever", 10),
        world.issue("late", 10, expires_at_ms=now + 2 * DAY_MS),
        world.issue("soon", 10, kind="trial", expires_at_ms=now + DAY_MS),
        world.issue("first", 10, kind="promotion", priority=5, expires_at_ms=now + 9 * DAY_MS),
        charged=14 * CREDIT,
    )
    await world.hold("run_1", 500_000)

    wallet = await read(http, base_url, world)

    # `first` is spent and gone; the next of its priority is the one that ends soonest.
    assert [bucket["grant_id"] for bucket in wallet["buckets"]] == ["soon", "late", "forever"]
    soon, _, forever = wallet["buckets"]
    assert (soon["kind"], soon["priority"], soon["granted"], soon["remaining"]) == (
        "trial",
        100,
        "10.000000",
        "6.000000",
    )
    assert soon["expires_at_ms"] == now + DAY_MS
    assert forever["expires_at_ms"] is None
    assert (wallet["settled"], wallet["held"], wallet["available"]) == ("26.000000", "0.500000", "25.500000")
    assert wallet["version"] == world.wallet.version  # type: ignore[union-attr]
    assert adds_up(wallet)


async def test_voids_refunds_and_debt(http: aiohttp.ClientSession, base_url: str, world: World) -> None:
    await world.settle(world.issue("a", 10), world.issue("b", 5), charged=3 * CREDIT)
    await world.settle(command(world, "void", "b"), command(world, "refund", "a", 10))

    wallet = await read(http, base_url, world)

    assert (wallet["granted"], wallet["voided"], wallet["refunded"]) == ("15.000000", "5.000000", "10.000000")
    assert (wallet["settled"], wallet["debt"], wallet["available"]) == ("-3.000000", "3.000000", "-3.000000")
    assert wallet["buckets"] == []
    assert adds_up(wallet)


async def test_what_a_correction_gives_back_is_a_bucket_of_its_own(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    await world.settle(charged=-CREDIT)
    wallet = await read(http, base_url, world)
    (bucket,) = wallet["buckets"]
    assert (bucket["grant_id"], bucket["kind"], bucket["remaining"]) == (RETURNED, "correction", "1.000000")
    assert wallet["charged"] == "-1.000000"


async def test_what_has_expired_is_gone_before_anybody_writes_it_down(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    now = now_ms()
    ended, begun = now - MINUTE_MS, now - 30_000
    await world.settle(
        world.issue("ended", 10, expires_at_ms=ended),
        world.issue("begun", 4, effective_at_ms=begun),
        world.issue("ahead", 2, effective_at_ms=now + DAY_MS),
        charged=CREDIT,
        at_ms=now - 2 * MINUTE_MS,
    )

    wallet = await read(http, base_url, world)

    assert (wallet["settled"], wallet["available"]) == ("4.000000", "4.000000")
    assert wallet["expired"] == "9.000000"
    assert [bucket["grant_id"] for bucket in wallet["buckets"]] == ["begun", "ahead"]
    assert wallet["schedule"] == [
        {
            "at_ms": now + DAY_MS,
            "delta": "2.000000",
            "delta_micro": 2 * CREDIT,
            "balance_after": "6.000000",
            "balance_after_micro": 6 * CREDIT,
        }
    ]
    assert adds_up(wallet)

    # Written down, it is the same.
    await world.settle()
    written = await read(http, base_url, world)
    moving = {"version": 0, "read_at_ms": 0}
    assert {**written, **moving} == {**wallet, **moving}


async def test_the_schedule_says_what_time_alone_will_change(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    now = now_ms()
    await world.settle(
        world.issue(
            "plan",
            10,
            kind="plan",
            expires_at_ms=now + DAY_MS,
            rollover_cap_micro=3 * CREDIT,
            rollover_ms=DAY_MS,
        ),
        world.issue("next", 5, effective_at_ms=now + DAY_MS),
    )

    wallet = await read(http, base_url, world)

    plan = next(bucket for bucket in wallet["buckets"] if bucket["grant_id"] == "plan")
    assert (plan["rolls_over"], plan["rolled_over"]) == ("3.000000", False)
    assert [
        (change["at_ms"] - now, change["delta"], change["balance_after"]) for change in wallet["schedule"]
    ] == [
        (DAY_MS, "-2.000000", "8.000000"),
        (2 * DAY_MS, "-3.000000", "5.000000"),
    ]


async def test_what_rolled_over_is_still_its_grants(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    now = now_ms()
    plan = world.issue(
        "plan", 10, expires_at_ms=now - MINUTE_MS, rollover_cap_micro=3 * CREDIT, rollover_ms=DAY_MS
    )
    await world.settle(plan, at_ms=now - DAY_MS // 2)

    wallet = await read(http, base_url, world)

    (bucket,) = wallet["buckets"]
    assert (bucket["grant_id"], bucket["rolled_over"], bucket["remaining"]) == ("plan", True, "3.000000")
    assert bucket["expires_at_ms"] == now - MINUTE_MS + DAY_MS
    assert (wallet["settled"], wallet["expired"]) == ("3.000000", "7.000000")
    assert adds_up(wallet)


async def test_a_great_many_buckets_are_bounded(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    now = now_ms()
    await world.settle(
        *(world.issue(f"g{n:03}", 1, expires_at_ms=now + DAY_MS + n) for n in range(203)), at_ms=now
    )
    wallet = await read(http, base_url, world)
    assert (len(wallet["buckets"]), wallet["more_buckets"], len(wallet["schedule"])) == (200, 3, 8)
    assert wallet["buckets"][0]["grant_id"] == "g000"
    # The last listed is the lowest that follows: it promises nothing that will have ended.
    assert wallet["schedule"][-1]["balance_after"] == "0.000000"


async def test_any_role_may_read_it_and_no_other_org(
    http: aiohttp.ClientSession, base_url: str, world: World, redis: Redis
) -> None:
    await world.settle(world.issue("mine", 10))
    await world.add_token(token := f"{world.token}-viewer", world.org_id, "viewer")
    headers = {"Authorization": f"Bearer {token}"}
    async with http.get(f"{base_url}/api/v1/wallet", headers=headers) as answer:
        assert (await answer.json())["settled"] == "10.000000"

    neighbour = await World.create(redis, world.tenant_id)
    assert (await read(http, base_url, neighbour))["granted"] == "0.000000"
    # Another tenant that calls an org the same.
    stranger = await World.create(redis)
    await stranger.add_token(stranger.token, world.org_id)
    theirs = await read(http, base_url, stranger)
    assert (theirs["granted"], theirs["settled"], theirs["buckets"]) == ("0.000000", "0.000000", [])


async def test_instances_show_what_may_be_spent_now(
    http: aiohttp.ClientSession, base_url: str, world: World
) -> None:
    now = now_ms()
    await world.settle(
        world.issue("ended", 10, expires_at_ms=now - MINUTE_MS),
        world.issue("left", 4),
        at_ms=now - 2 * MINUTE_MS,
    )
    url = f"{base_url}/api/v1/instances/{world.instance_id}"
    async with http.get(url, headers=world.headers) as answer:
        assert (await answer.json())["credits_left_micro"] == 4 * CREDIT


@pytest.mark.parametrize("ends_in_ms", [-MINUTE_MS, 1_500])
async def test_the_live_wallet_changes_when_credits_end_though_nobody_writes(
    http: aiohttp.ClientSession, base_url: str, world: World, ends_in_ms: int
) -> None:
    now = now_ms()
    await world.settle(
        world.issue("ends", 10, expires_at_ms=now + ends_in_ms),
        world.issue("left", 4),
        at_ms=now - 2 * MINUTE_MS,
    )
    await world.hold("run_1", CREDIT)
    async with live(http, base_url, world.instance_id, world.headers) as stream:
        event = await stream.until(lambda event: event.data["wallet"]["settled_micro"] == 4 * CREDIT)
    wallet = event.data["wallet"]
    assert (wallet["held"], wallet["available"], wallet["granted"]) == ("1.000000", "3.000000", "14.000000")
    assert wallet["read_at_ms"] >= now + ends_in_ms
