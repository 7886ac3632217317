"""From a paid order to a working instance: once, whatever dies, repeats or comes in another order."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from orders_rig import MONTHLY, ONCE, PACK, PRICE, Crash, Shop, at_once

from console_api.control.errors import Conflict
from console_api.database.tables import Instance, Order, OutboxRow
from console_api.orders import refunds, service
from console_api.orders.models import Refund
from console_api.orders.provisioning import Provisioner
from console_api.payments.port import (
    Line,
    MoneyReturned,
    OrderAbandoned,
    PeriodUnpaid,
    ShopOrderPaid,
)
from kit.problems import Forbidden, InvalidRequest, NotFound
from schemas.events import GrantEvent

DONE = {
    "orders": [("provisioned", "done")],
    "instances": ["active"],
    "keys": 1,
    "grants": [("plan", MONTHLY, 0), ("purchase", ONCE, 0)],
    "payments": [(PRICE, 0, "succeeded")],
    "credits": MONTHLY + ONCE,
}


async def test_a_paid_order_becomes_an_instance_with_credits_and_a_key_shown_once(shop: Shop) -> None:
    order = await shop.order()
    assert (order.status, order.checkout_url, order.instance_id) == ("pending", "", None)
    async with shop.world.database.writing() as session:
        now = shop.world.clock()
        await service.pay(session, shop.caller(), order.order_id, dummy=True, now_ms=now)
    await shop.provision()

    assert await shop.bought() == DONE
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
                await Provisioner(shop.plane, shop.reached).turn()
    assert died == [at_commit]
    # The step that died is tried again after its pause.
    shop.world.clock.at_ms += 2_000
    await shop.tell(fact)
    await shop.provision()

    assert await shop.bought() == DONE


async def test_what_is_provisioned_can_be_used_so_its_credits_and_gateways_are_waited_for(shop: Shop) -> None:
    shop.delivers = False
    order = await shop.order()
    await shop.tell(shop.paid(order))
    for pause_ms in (0, 100, 200, 400):
        shop.world.clock.at_ms += pause_ms
        assert await Provisioner(shop.plane, shop.reached).turn() == 1
        assert await Provisioner(shop.plane, shop.reached).turn() == 0
    summary = await shop.bought()
    assert (summary["orders"], summary["instances"]) == ([("paid", "active")], ["provisioning"])

    shop.delivers, shop.hears = True, False
    shop.world.clock.at_ms += 800
    await shop.provision()
    summary = await shop.bought()
    assert (summary["orders"], summary["instances"]) == ([("paid", "known")], ["active"])

    shop.hears = True
    shop.world.clock.at_ms += 800
    await shop.provision()
    assert await shop.bought() == DONE


async def test_however_often_it_is_told_and_by_however_many(shop: Shop) -> None:
    order = await shop.order()
    fact = shop.paid(order)
    for _ in range(4):
        await at_once(*[shop.tell(fact) for _ in range(25)])
    await at_once(*[Provisioner(shop.plane, shop.reached).turn() for _ in range(4)])
    await shop.provision()

    assert await shop.bought() == DONE


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

    summary = await shop.bought()
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
        row.step = "key"
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

    assert await shop.bought() == DONE


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
    summary = await shop.bought()
    assert summary["instances"] == ["active"] * 2
    assert summary["keys"] == 2
    assert summary["payments"] == [(1_000, 0, "succeeded"), (4_900, 0, "succeeded"), (4_901, 0, "succeeded")]
    assert await shop.credits() == 2 * (MONTHLY + ONCE) + PACK

    assert await shop.tell(back) == "applied"
    assert await shop.credits() == 0
    assert (await shop.bought())["instances"] == ["ended"] * 2
    only_mugs = msgspec.structs.replace(fact, order_ref="o2", payment_ref="o2", lines=(lines[2],))
    assert await shop.tell(only_mugs) == "ignored"


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
    assert (await shop.bought())["instances"] == ["active"]
    await returned(PRICE)
    assert await shop.credits() == 0
    assert (await shop.bought())["instances"] == ["suspended"]
    assert (await shop.one(Order)).status == "refunded"
    await returned(0)
    assert await shop.credits() == whole
    assert (await shop.bought())["instances"] == ["active"]
    assert (await shop.one(Order)).status == "provisioned"
    await returned(PRICE, "refund")
    assert await shop.credits() == 0
    assert (await shop.bought())["instances"] == ["ended"]


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
    assert await shop.bought() == DONE
    entries = await shop.world.audited(order.order_id)
    assert any(e.action == "order.mark_paid" and e.details["note"] == "bank transfer 7" for e in entries)

    with pytest.raises(Forbidden):
        await refunds.refund(shop.plane, shop.providers, shop.caller(), order.order_id, Refund(note="no"))
    asked = Refund(amount_minor=PRICE + 1, note="too much")
    with pytest.raises(Conflict):
        await refunds.refund(shop.plane, shop.providers, operator, order.order_id, asked)
    await refunds.refund(shop.plane, shop.providers, operator, order.order_id, Refund(note="goodwill"))
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
    assert await shop.tell(PeriodUnpaid(**shop.at(), payment_ref="in_1")) == "early"
