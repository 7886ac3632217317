"""Periods that are paid, unpaid, returned and cancelled, in whatever order they are told."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from control_places import Place
from orders_rig import DAY_MS, MONTHLY, ONCE, PRICE, Shop

from console_api.configuration import service as configuration
from console_api.database.tables import Grant, Instance, Payment, Subscription
from console_api.payments.port import (
    MoneyReturned,
    PeriodPaid,
    PeriodUnpaid,
    SubscriptionIs,
)
from console_api.subscriptions import periods


async def subscribed(shop: Shop, every: str = "month") -> int:
    """Buy, and return when the paid period ends."""
    order = await shop.order(every=every)
    await shop.tell_all([shop.paid(order)])
    row = await shop.one(Subscription)
    return int(row.paid_until_ms)


def renewal(shop: Shop, start_ms: int, number: int = 1) -> PeriodPaid:
    return PeriodPaid(
        **shop.at(),
        payment_ref=f"pi_renewal_{number}",
        currency="usd",
        amount_minor=PRICE,
        period_start_ms=start_ms,
        period_end_ms=periods.end_of(start_ms, "month"),
    )


async def test_a_renewal_grants_its_period_once_and_nothing_unpaid_is_granted(shop: Shop) -> None:
    ends_ms = await subscribed(shop)
    await shop.settle(ends_ms + 3_600_000 - shop.world.clock())
    assert await shop.credits() == MONTHLY + ONCE

    fact = renewal(shop, ends_ms)
    for _ in range(3):
        assert await shop.tell(fact) == "applied"
    await shop.settle()
    assert await shop.credits() == 2 * MONTHLY + ONCE
    periods_granted = [grant.period for grant in await shop.rows(Grant, kind="plan")]
    assert len(set(periods_granted)) == 2


async def test_a_year_drips_by_the_month_and_stops_with_it(shop: Shop) -> None:
    ends_ms = await subscribed(shop, "year")
    while shop.world.clock() < ends_ms - DAY_MS:
        await shop.settle(28 * DAY_MS)
    await shop.settle()
    assert await shop.credits() == 12 * MONTHLY + ONCE
    await shop.settle(60 * DAY_MS)
    assert await shop.credits() == 12 * MONTHLY + ONCE


async def test_the_next_months_credits_are_there_before_this_ones_end(shop: Shop) -> None:
    await subscribed(shop, "year")
    ends_ms = periods.end_of(int((await shop.one(Subscription)).started_at_ms), "month")
    await shop.settle(ends_ms - periods.AHEAD_MS - 60_000 - shop.world.clock())
    assert await shop.credits() == MONTHLY + ONCE

    await shop.settle(120_000)

    assert await shop.credits() == 2 * MONTHLY + ONCE
    latest = max(await shop.rows(Grant, kind="plan"), key=lambda grant: int(grant.effective_at_ms))
    assert latest.effective_at_ms == ends_ms > shop.world.clock() >= latest.created_at_ms


async def test_without_money_it_stops_after_the_grace_and_goes_on_when_paid(shop: Shop) -> None:
    ends_ms = await subscribed(shop)
    await shop.settle(ends_ms - shop.world.clock())
    unpaid = PeriodUnpaid(**shop.at(), payment_ref="in_1")
    await shop.tell(unpaid)
    assert (await shop.one(Subscription)).status == "past_due"
    await shop.settle(6 * DAY_MS)
    assert (await shop.bought())["instances"] == ["active"]
    await shop.settle(2 * DAY_MS)
    assert (await shop.bought())["instances"] == ["suspended"]
    assert (await shop.one(Subscription)).status == "paused"

    await shop.tell(renewal(shop, ends_ms))
    assert (await shop.bought())["instances"] == ["active"]
    # The older word comes again, late.
    await shop.tell(unpaid)
    await shop.settle(DAY_MS)
    assert (await shop.one(Subscription)).status == "active"
    assert await shop.credits() == 2 * MONTHLY + ONCE


async def test_a_provider_that_falls_silent_is_noticed(shop: Shop) -> None:
    ends_ms = await subscribed(shop)
    await shop.settle(ends_ms + 10 * DAY_MS - shop.world.clock())

    assert (await shop.one(Subscription)).status == "paused"
    assert (await shop.bought())["instances"] == ["suspended"]


async def test_a_cancellation_ends_with_its_period_and_can_be_taken_back(shop: Shop) -> None:
    ends_ms = await subscribed(shop)
    ending = SubscriptionIs(**shop.at(), status="active", ends_at_ms=ends_ms)
    on_again = SubscriptionIs(**{**shop.at(), "at_ms": shop.world.clock() + 1}, status="active", ends_at_ms=0)
    await shop.tell(on_again)
    await shop.tell(ending)
    assert (await shop.one(Subscription)).ended_at_ms == 0, "the older word says nothing"
    await shop.tell(
        SubscriptionIs(**{**shop.at(), "at_ms": on_again.at_ms + 1}, status="active", ends_at_ms=ends_ms)
    )
    await shop.settle(ends_ms - 1 - shop.world.clock())
    assert (await shop.bought())["instances"] == ["active"]
    await shop.settle(1)
    assert (await shop.bought())["instances"] == ["ended"]
    assert (await shop.one(Subscription)).status == "ended"
    assert await shop.credits() == MONTHLY + ONCE


async def test_all_orders_of_what_is_told_come_to_the_same(shop: Shop, place: Place) -> None:
    order = await shop.order()
    await shop.tell_all([shop.paid(order)])
    ends_ms = int((await shop.one(Subscription)).paid_until_ms)
    await shop.settle(ends_ms + 3_600_000 - shop.world.clock())
    told = [
        renewal(shop, ends_ms),
        PeriodUnpaid(**shop.at(), payment_ref="in_1"),
        MoneyReturned(
            provider="stripe",
            payment_ref="pi_renewal_1",
            returned_minor=PRICE // 2,
            reason="refund",
            at_ms=shop.world.clock(),
        ),
        MoneyReturned(
            provider="stripe",
            payment_ref=f"pi_{order.order_id}",
            returned_minor=PRICE,
            reason="dispute",
            at_ms=shop.world.clock(),
        ),
    ]
    ways = list(itertools.permutations(told))
    # One way for this database: the others are told on top, which must change nothing any more.
    for way in [*ways[:: len(ways) // 6], told]:
        assert await shop.tell_all(way) == []
        summary = await shop.summary()
        assert summary["credits"] == MONTHLY // 2
        assert summary["instances"] == ["suspended"]
        assert [status for status, _ in summary["subscriptions"]] == ["active"]


@pytest.mark.parametrize("way", range(0, 24, 5))
async def test_each_order_of_facts_from_the_beginning(shop: Shop, way: int) -> None:
    order = await shop.order()
    start = shop.world.clock()
    ends_ms = periods.end_of(start, "month")
    shop.world.clock.at_ms = ends_ms + 3_600_000
    told = [
        shop.paid(order, at_ms=start),
        renewal(shop, ends_ms),
        MoneyReturned(
            provider="stripe",
            payment_ref=f"pi_{order.order_id}",
            returned_minor=PRICE // 10,
            reason="refund",
            at_ms=start + 1,
        ),
        SubscriptionIs(**shop.at(), status="active", ends_at_ms=0),
    ]
    assert await shop.tell_all(list(itertools.permutations(told))[way]) == []

    summary = await shop.summary()
    assert summary["orders"] == [("provisioned", "done")]
    assert summary["instances"] == ["active"]
    assert len([grant for grant in summary["grants"] if grant[0] == "purchase"]) == 1
    assert [status for status, _ in summary["subscriptions"]] == ["active"]


async def suspended_for(shop: Shop) -> tuple[str, ...]:
    (instance,) = [i for i in await shop.rows(Instance) if i.order_id]
    return tuple(instance.suspended_for)


async def operator_says(shop: Shop, status: Any) -> None:
    (instance,) = [i for i in await shop.rows(Instance) if i.order_id]
    async with shop.world.database.writing() as session:
        await configuration.set_status(
            session,
            shop.caller("operator", ""),
            instance.instance_id,
            status,
            "because",
            now_ms=shop.world.clock(),
        )


async def test_money_does_not_lift_what_an_operator_suspended(shop: Shop) -> None:
    ends_ms = await subscribed(shop)
    (paid,) = await shop.rows(Payment)
    await operator_says(shop, "suspended")
    back = {"provider": "stripe", "payment_ref": paid.provider_ref, "reason": "refund"}
    await shop.tell(MoneyReturned(**back, returned_minor=PRICE // 10, at_ms=shop.world.clock()))
    assert ((await shop.bought())["instances"], await suspended_for(shop)) == (["suspended"], ("operator",))

    await shop.settle(ends_ms + 10 * DAY_MS - shop.world.clock())
    assert await suspended_for(shop) == ("operator", "payment")
    await shop.tell(renewal(shop, ends_ms))
    assert ((await shop.bought())["instances"], await suspended_for(shop)) == (["suspended"], ("operator",))
    await operator_says(shop, "active")
    assert ((await shop.bought())["instances"], await suspended_for(shop)) == (["active"], ())


async def test_missing_money_and_a_dispute_each_lift_their_own(shop: Shop) -> None:
    ends_ms = await subscribed(shop)
    (paid,) = await shop.rows(Payment)
    dispute = {"provider": "stripe", "payment_ref": paid.provider_ref, "reason": "dispute"}
    await shop.tell(MoneyReturned(**dispute, returned_minor=PRICE, at_ms=shop.world.clock()))
    await shop.settle(ends_ms + 10 * DAY_MS - shop.world.clock())
    assert await suspended_for(shop) == ("dispute", "payment")
    await shop.tell(renewal(shop, ends_ms))
    assert ((await shop.bought())["instances"], await suspended_for(shop)) == (["suspended"], ("dispute",))
    await shop.tell(MoneyReturned(**dispute, returned_minor=0, at_ms=shop.world.clock()))
    assert ((await shop.bought())["instances"], await suspended_for(shop)) == (["active"], ())
