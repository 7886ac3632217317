"""From a paid order to a working instance: once, whatever dies, repeats or comes in another order."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from control_places import Place
from control_world import World
from orders_rig import DAY_MS, MONTHLY, ONCE, PACK, PRICE, Crash, Shop, at_once

from console_api.control.errors import Conflict
from console_api.database.tables import Grant, Instance, Order, OutboxRow, Subscription
from console_api.orders import service
from console_api.orders.models import Refund
from console_api.orders.provisioning import Provisioner
from console_api.payments.port import (
    Line,
    MoneyReturned,
    OrderAbandoned,
    PeriodPaid,
    PeriodUnpaid,
    ShopOrderPaid,
    SubscriptionIs,
)
from console_api.subscriptions import periods
from kit.problems import Forbidden, InvalidRequest, NotFound
from schemas.events import GrantEvent


@pytest_asyncio.fixture
async def shop(place: Place, world: World) -> Shop:
    return await Shop.open(place, world)


DONE = {
    "orders": [("provisioned", "done")],
    "instances": ["active"],
    "keys": 1,
    "grants": [("plan", MONTHLY, 0), ("purchase", ONCE, 0)],
    "payments": [(PRICE, 0, "succeeded")],
    "credits": MONTHLY + ONCE,
}


async def bought(shop: Shop) -> dict[str, Any]:
    summary = await shop.summary()
    summary.pop("subscriptions")
    return summary


async def test_a_paid_order_becomes_an_instance_with_credits_and_a_key_shown_once(shop: Shop) -> None:
    order = await shop.order()
    assert (order.status, order.checkout_url, order.instance_id) == ("pending", "", None)
    async with shop.world.database.writing() as session:
        now = shop.world.clock()
        await service.pay(session, shop.caller(), order.order_id, dummy=True, now_ms=now)
    await shop.provision()

    assert await bought(shop) == DONE
    async with shop.world.database.writing() as session:
        key = await service.reveal_key(shop.plane, session, shop.caller(), order.order_id)
    assert key.key.startswith("rm_sk_")
    with pytest.raises(NotFound):
        async with shop.world.database.writing() as session:
            await service.reveal_key(shop.plane, session, shop.caller(), order.order_id)
    told = [
        msgspec.json.decode(row.payload, type=GrantEvent) for row in await shop.rows(OutboxRow, lane="kafka")
    ]
    assert sorted(event.amount_micro for event in told) == sorted([MONTHLY, ONCE])
    assert {event.org_id for event in told} == {shop.world.org_id}


@pytest.mark.parametrize("at_commit", range(1, 9))
async def test_a_crash_before_any_commit_changes_nothing_in_the_end(shop: Shop, at_commit: int) -> None:
    order = await shop.order()
    fact = shop.paid(order)
    with shop.dying(at_commit) as died:
        for _ in range(4):
            with contextlib.suppress(Crash):
                await shop.tell(fact)
                await Provisioner(shop.plane).turn()
    assert died == [at_commit]
    # The step that died is tried again after its pause.
    shop.world.clock.at_ms += 2_000
    await shop.tell(fact)
    await shop.provision()

    assert await bought(shop) == DONE


async def test_however_often_it_is_told_and_by_however_many(shop: Shop) -> None:
    order = await shop.order()
    fact = shop.paid(order)
    for _ in range(4):
        await at_once(*[shop.tell(fact) for _ in range(25)])
    await at_once(*[Provisioner(shop.plane).turn() for _ in range(4)])
    await shop.provision()

    assert await bought(shop) == DONE


async def test_the_same_key_is_the_same_order_and_no_other(shop: Shop) -> None:
    first = await shop.order()
    assert (await shop.order()).order_id == first.order_id
    with pytest.raises(Conflict, match="another order"):
        await shop.order(plan="pack", every="once")
    assert (await shop.order(key="second-order")).order_id != first.order_id
    with pytest.raises(InvalidRequest, match="price"):
        await shop.order(plan="pack", every="year", key="third-order")
    with pytest.raises(InvalidRequest, match="payments"):
        await shop.order(provider="paypal", key="fourth-order")
    with pytest.raises(NotFound):
        await shop.order(plan="none", key="fifth-order")


async def test_a_pack_gives_credits_and_makes_no_instance(shop: Shop) -> None:
    order = await shop.order(plan="pack", every="once")
    await shop.tell(shop.paid(order))
    await shop.provision()

    summary = await bought(shop)
    assert summary["instances"] == []
    assert summary["keys"] == 0
    assert summary["grants"] == [("purchase", PACK, 0)]
    assert summary["orders"] == [("provisioned", "done")]


async def test_too_little_money_waits_for_an_operator(shop: Shop) -> None:
    order = await shop.order()
    await shop.tell(shop.paid(order, amount_minor=PRICE - 1))
    await shop.provision()

    row = await shop.one(Order)
    assert (row.status, await shop.credits()) == ("failed", 0)
    assert "4899 usd were paid of 4900 usd" in row.error
    with pytest.raises(Forbidden):
        async with shop.world.database.writing() as session:
            await service.retry(session, shop.caller(), order.order_id, "fine", shop.world.clock())
    async with shop.world.database.writing() as session:
        operator = shop.caller("operator", "")
        await service.retry(session, operator, order.order_id, "fine", shop.world.clock())
    await shop.provision()
    assert (await shop.one(Order)).status == "provisioned"


async def test_a_step_that_cannot_succeed_says_why(shop: Shop) -> None:
    order = await shop.order()
    await shop.tell(shop.paid(order))
    async with shop.world.database.writing() as session:
        row = await session.get(Order, order.order_id)
        assert row is not None
        row.step = "active"
    await shop.provision()

    row = await shop.one(Order)
    assert (row.status, row.attempts) == ("paid", 1)
    assert row.next_try_at_ms > shop.world.clock()
    assert row.error


async def test_an_abandoned_order_that_is_paid_after_all_is_an_order(shop: Shop) -> None:
    order = await shop.order()
    gone = OrderAbandoned(
        provider="stripe", order_id=order.order_id, reason="expired", at_ms=shop.world.clock()
    )
    assert await shop.tell(gone) == "applied"
    assert (await shop.one(Order)).status == "cancelled"
    await shop.tell_all([shop.paid(order), gone])

    assert await bought(shop) == DONE


async def test_a_shops_order_is_one_for_each_unit(shop: Shop) -> None:
    at_ms = shop.world.clock()
    lines = (
        Line(line_ref="l1", plan_code="pro", quantity=2, currency="usd", amount_minor=9_801),
        Line(line_ref="l2", plan_code="pack", quantity=1, currency="usd", amount_minor=1_000),
        Line(line_ref="l3", plan_code="a-mug", quantity=7, currency="usd", amount_minor=7_000),
    )
    fact = ShopOrderPaid(
        provider="saleor",
        tenant_id=shop.world.tenant_id,
        order_ref="T3JkZXI6MQ==",
        payment_ref="T3JkZXI6MQ==",
        org_ref="user-1",
        org_name="Analytical Engines",
        buyer_email="ada@example.com",
        lines=lines,
        at_ms=at_ms,
    )
    back = MoneyReturned(
        provider="saleor", payment_ref="T3JkZXI6MQ==", returned_minor=10_801, reason="refund", at_ms=at_ms + 1
    )
    assert await shop.tell(back) == "early"
    assert await shop.tell_all([fact] * 3) == []
    summary = await bought(shop)
    assert summary["instances"] == ["active"] * 2
    assert summary["keys"] == 2
    assert summary["payments"] == [(1_000, 0, "succeeded"), (4_900, 0, "succeeded"), (4_901, 0, "succeeded")]
    assert await shop.credits() == 2 * (MONTHLY + ONCE) + PACK

    assert await shop.tell(back) == "applied"
    assert await shop.credits() == 0
    assert (await bought(shop))["instances"] == ["ended"] * 2
    only_mugs = msgspec.structs.replace(fact, order_ref="o2", payment_ref="o2", lines=(lines[2],))
    assert await shop.tell(only_mugs) == "ignored"


def at(shop: Shop, **fields: Any) -> dict[str, Any]:
    return {"provider": "stripe", "subscription_ref": "sub_1", "at_ms": shop.world.clock(), **fields}


async def subscribed(shop: Shop, every: str = "month") -> int:
    """Buy, and return when the paid period ends."""
    order = await shop.order(every=every)
    await shop.tell_all([shop.paid(order)])
    row = await shop.one(Subscription)
    return int(row.paid_until_ms)


def renewal(shop: Shop, start_ms: int, number: int = 1) -> PeriodPaid:
    return PeriodPaid(
        **at(shop),
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


async def test_without_money_it_stops_after_the_grace_and_goes_on_when_paid(shop: Shop) -> None:
    ends_ms = await subscribed(shop)
    await shop.settle(ends_ms - shop.world.clock())
    unpaid = PeriodUnpaid(**at(shop), payment_ref="in_1")
    await shop.tell(unpaid)
    assert (await shop.one(Subscription)).status == "past_due"
    await shop.settle(6 * DAY_MS)
    assert (await bought(shop))["instances"] == ["active"]
    await shop.settle(2 * DAY_MS)
    assert (await bought(shop))["instances"] == ["suspended"]
    assert (await shop.one(Subscription)).status == "paused"

    await shop.tell(renewal(shop, ends_ms))
    assert (await bought(shop))["instances"] == ["active"]
    # The older word comes again, late.
    await shop.tell(unpaid)
    await shop.settle(DAY_MS)
    assert (await shop.one(Subscription)).status == "active"
    assert await shop.credits() == 2 * MONTHLY + ONCE


async def test_a_provider_that_falls_silent_is_noticed(shop: Shop) -> None:
    ends_ms = await subscribed(shop)
    await shop.settle(ends_ms + 10 * DAY_MS - shop.world.clock())

    assert (await shop.one(Subscription)).status == "paused"
    assert (await bought(shop))["instances"] == ["suspended"]


async def test_a_cancellation_ends_with_its_period_and_can_be_taken_back(shop: Shop) -> None:
    ends_ms = await subscribed(shop)
    ending = SubscriptionIs(**at(shop), status="active", ends_at_ms=ends_ms)
    on_again = SubscriptionIs(**{**at(shop), "at_ms": shop.world.clock() + 1}, status="active", ends_at_ms=0)
    await shop.tell(on_again)
    await shop.tell(ending)
    assert (await shop.one(Subscription)).ended_at_ms == 0, "the older word says nothing"
    await shop.tell(
        SubscriptionIs(**{**at(shop), "at_ms": on_again.at_ms + 1}, status="active", ends_at_ms=ends_ms)
    )
    await shop.settle(ends_ms - 1 - shop.world.clock())
    assert (await bought(shop))["instances"] == ["active"]
    await shop.settle(1)
    assert (await bought(shop))["instances"] == ["ended"]
    assert (await shop.one(Subscription)).status == "ended"
    assert await shop.credits() == MONTHLY + ONCE


async def test_all_orders_of_what_is_told_come_to_the_same(shop: Shop, place: Place) -> None:
    order = await shop.order()
    await shop.tell_all([shop.paid(order)])
    ends_ms = int((await shop.one(Subscription)).paid_until_ms)
    await shop.settle(ends_ms + 3_600_000 - shop.world.clock())
    told = [
        renewal(shop, ends_ms),
        PeriodUnpaid(**at(shop), payment_ref="in_1"),
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
        SubscriptionIs(**at(shop), status="active", ends_at_ms=0),
    ]
    assert await shop.tell_all(list(itertools.permutations(told))[way]) == []

    summary = await shop.summary()
    assert summary["orders"] == [("provisioned", "done")]
    assert summary["instances"] == ["active"]
    assert len([grant for grant in summary["grants"] if grant[0] == "purchase"]) == 1
    assert [status for status, _ in summary["subscriptions"]] == ["active"]


async def test_money_that_goes_back_takes_its_share_and_brings_it_back(shop: Shop) -> None:
    order = await shop.order()
    await shop.tell_all([shop.paid(order)])
    whole = MONTHLY + ONCE

    async def returned(minor: int, reason: str = "dispute") -> None:
        shop.world.clock.at_ms += 1_000
        fact = MoneyReturned(
            provider="stripe",
            payment_ref=f"pi_{order.order_id}",
            returned_minor=minor,
            reason=reason,
            at_ms=shop.world.clock(),
        )
        for _ in range(3):
            assert await shop.tell(fact) == "applied"

    await returned(PRICE // 2)
    assert await shop.credits() == whole - whole // 2
    assert (await bought(shop))["instances"] == ["active"]
    await returned(PRICE)
    assert await shop.credits() == 0
    assert (await bought(shop))["instances"] == ["suspended"]
    assert (await shop.one(Order)).status == "refunded"
    await returned(0)
    assert await shop.credits() == whole
    assert (await bought(shop))["instances"] == ["active"]
    assert (await shop.one(Order)).status == "provisioned"
    await returned(PRICE, "refund")
    assert await shop.credits() == 0
    assert (await bought(shop))["instances"] == ["ended"]


async def test_an_operator_refunds_and_marks_as_paid_and_nobody_else(shop: Shop) -> None:
    order = await shop.order(provider="manual")
    for caller in (shop.caller(), shop.caller("viewer")):
        with pytest.raises(Forbidden):
            async with shop.world.database.writing() as session:
                await service.mark_paid(session, caller, order.order_id, "seen", shop.world.clock())
    with pytest.raises(Forbidden):
        async with shop.world.database.writing() as session:
            await service.pay(session, shop.caller(), order.order_id, dummy=True, now_ms=shop.world.clock())
    operator = shop.caller("operator", "")
    async with shop.world.database.writing() as session:
        await service.mark_paid(session, operator, order.order_id, "bank transfer 7", shop.world.clock())
    await shop.provision()
    assert await bought(shop) == DONE
    entries = await shop.world.audited(order.order_id)
    assert any(e.action == "order.mark_paid" and e.details["note"] == "bank transfer 7" for e in entries)

    with pytest.raises(Forbidden):
        await service.refund(shop.plane, shop.providers, shop.caller(), order.order_id, Refund(note="no"))
    asked = Refund(amount_minor=PRICE + 1, note="too much")
    with pytest.raises(Conflict):
        await service.refund(shop.plane, shop.providers, operator, order.order_id, asked)
    await service.refund(shop.plane, shop.providers, operator, order.order_id, Refund(note="goodwill"))
    assert await shop.credits() == 0


async def test_a_cancelled_order_is_not_provisioned(shop: Shop) -> None:
    order = await shop.order()
    async with shop.world.database.writing() as session:
        await service.cancel(session, shop.caller(), order.order_id, shop.world.clock())
    await shop.provision()
    assert (await shop.one(Order)).status == "cancelled"
    assert [i for i in await shop.rows(Instance) if i.order_id] == []


async def test_what_is_about_others_is_ignored_and_what_is_not_known_yet_is_early(shop: Shop) -> None:
    order = await shop.order()
    assert await shop.tell(shop.paid(order, order_id="ord_elsewhere")) == "ignored"
    assert await shop.tell(PeriodUnpaid(**at(shop), payment_ref="in_1")) == "early"
