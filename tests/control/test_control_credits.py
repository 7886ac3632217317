"""Credits are given once, whatever is repeated."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from control_world import World
from sqlalchemy import select

from console_api.control.credits import service as credits
from console_api.control.errors import Conflict
from console_api.database.tables import Grant, Order, Subscription
from kit.problems import NotFound
from metering.plans import Allowance

DAY_MS = 86_400_000


async def grants(world: World) -> list[Grant]:
    async with world.database.reading() as session:
        found = await session.scalars(
            select(Grant).where(Grant.org_id == world.org_id).order_by(Grant.grant_id)
        )
        return list(found.all())


async def test_a_grant_is_issued_once(world: World) -> None:
    given = [await world.issue(f"{world.org_id}/1") for _ in range(3)]

    assert given == [True, False, False]
    assert len(await world.outbox()) == 1
    assert len(await world.audited(f"{world.org_id}/1")) == 1


async def test_a_grant_is_issued_once_by_many_at_once(world: World) -> None:
    given = await asyncio.gather(*(world.issue(f"{world.org_id}/1") for _ in range(8)))

    assert sorted(given) == [False] * 7 + [True]
    assert len(await world.outbox()) == 1


async def test_an_order_gives_once_for_each_kind(world: World) -> None:
    async with world.database.writing() as session:
        session.add(order(world))

    assert await world.issue(f"{world.org_id}/a", order_id="order_1")
    assert not await world.issue(f"{world.org_id}/b", order_id="order_1")
    assert [grant.grant_id for grant in await grants(world)] == [f"{world.org_id}/a"]


async def test_a_subscription_gives_once_a_period(world: World) -> None:
    start = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp() * 1000)
    subscription_id = f"sub_{world.org_id}"
    async with world.database.writing() as session:
        session.add(subscription(world, subscription_id, start))
    allowance = Allowance(amount_micro=1_000_000, every="month")

    async def due(days: int) -> int:
        async with world.database.writing() as session:
            until_ms = start + days * DAY_MS
            return await credits.issue_due(
                session, subscription_id, allowance, until_ms, actor="renewals", now_ms=until_ms
            )

    assert [await due(days) for days in (0, 0, 10, 28, 28, 10, 60)] == [1, 0, 0, 1, 0, 0, 1]
    given = await grants(world)
    assert [grant.period for grant in given] == ["2026-01-31", "2026-02-28", "2026-03-31"]
    assert given[0].expires_at_ms == given[1].effective_at_ms
    assert len(await world.outbox()) == 3


async def test_a_refund_is_commanded_once_and_of_no_more_than_was_given(world: World) -> None:
    await world.issue(grant_id := f"{world.org_id}/1", 5_000_000)

    async def refund(command_id: str, micro: int) -> bool:
        async with world.database.writing() as session:
            return await credits.refund(
                session, grant_id, command_id, micro, actor="ada", reason="returned", at_ms=world.clock()
            )

    assert await refund("refund_1", 3_000_000)
    assert not await refund("refund_1", 3_000_000)
    for micro in (0, -1, 2_000_001):
        with pytest.raises(Conflict):
            await refund("refund_2", micro)
    assert await refund("refund_2", 2_000_000)
    assert not await refund("refund_1", 3_000_000)

    (grant,) = await grants(world)
    assert grant.refunded_micro == 5_000_000
    assert [row.outbox_id for row in await world.outbox()] == [
        f"credits.grants:{name}" for name in (grant_id, "refund_1", "refund_2")
    ]


async def test_a_void_is_commanded_once(world: World) -> None:
    await world.issue(grant_id := f"{world.org_id}/1")
    for expected in (True, False):
        async with world.database.writing() as session:
            done = await credits.void(
                session, grant_id, f"void_{grant_id}", actor="ada", reason="fraud", at_ms=world.clock()
            )
        assert done == expected

    assert len(await world.outbox()) == 2


async def test_what_is_not_there_cannot_be_refunded(world: World) -> None:
    async with world.database.writing() as session:
        with pytest.raises(NotFound):
            await credits.refund(session, "none", "c", 1, actor="a", reason="", at_ms=0)


@pytest.mark.parametrize(
    "fields",
    [
        {"amount_micro": 0},
        {"expires_at_ms": 5, "effective_at_ms": 10},
        {"action": "void"},
        {"grant_id": "x" * 129},
        {"reason": "x" * 513},
    ],
)
async def test_a_grant_that_the_wallet_would_refuse_is_refused_here(
    world: World, fields: dict[str, object]
) -> None:
    event = world.grant(**{"grant_id": "g", **fields})
    async with world.database.writing() as session:
        with pytest.raises(ValueError):  # noqa: PT011 - of several libraries
            await credits.issue(session, event, actor="ada", at_ms=world.clock())


def order(world: World) -> Order:
    return Order(
        order_id="order_1",
        tenant_id=world.tenant_id,
        org_id=world.org_id,
        plan_id=world.plan_id,
        idempotency_key="k",
        currency="usd",
        amount_minor=4_900,
        created_at_ms=world.clock(),
        updated_at_ms=world.clock(),
    )


def subscription(world: World, subscription_id: str, start: int) -> Subscription:
    return Subscription(
        subscription_id=subscription_id,
        tenant_id=world.tenant_id,
        org_id=world.org_id,
        plan_id=world.plan_id,
        started_at_ms=start,
        created_at_ms=start,
        updated_at_ms=start,
    )
