"""Money that goes back ends the collecting, too; money that comes for nothing is told and can be returned."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from control_places import Place
from control_world import World
from orders_rig import DAY_MS, MONTHLY, ONCE, PRICE, Shop

from console_api.control.errors import Conflict
from console_api.database.tables import Alert, Payment, Subscription
from console_api.instances import ending
from console_api.orders import refunds, service
from console_api.orders.models import PlacedOrder, Refund
from console_api.payments import port
from console_api.payments.dummy import OfflineProvider
from console_api.payments.port import MoneyReturned, PeriodPaid, SubscriptionIs
from console_api.subscriptions import buyers, periods
from console_api.subscriptions.stopping import MAX_ASKS


@dataclass
class Collector(OfflineProvider):
    """A provider that collects by itself, and does what a test says when it is asked to stop or to return."""

    name: str = "stripe"
    says: list[Exception] = field(default_factory=list)
    stopped: list[tuple[str, bool]] = field(default_factory=list)
    returned: list[tuple[str, int, str]] = field(default_factory=list)

    async def cancel(self, subscription_ref: str, *, at_period_end: bool) -> None:
        self.stopped.append((subscription_ref, at_period_end))
        if self.says:
            raise self.says.pop(0)

    async def refund(self, payment_ref: str, amount_minor: int, key: str) -> None:
        if self.says:
            raise self.says.pop(0)
        self.returned.append((payment_ref, amount_minor, key))


@dataclass
class Till:
    shop: Shop
    collector: Collector

    async def bought(self) -> PlacedOrder:
        order = await self.shop.order()
        assert await self.shop.tell_all([self.shop.paid(order)]) == []
        return order

    async def returned(self, payment_ref: str, minor: int = PRICE) -> None:
        self.shop.world.clock.at_ms += 1_000
        fact = MoneyReturned(
            provider="stripe",
            payment_ref=payment_ref,
            returned_minor=minor,
            reason="refund",
            at_ms=self.shop.world.clock(),
        )
        assert await self.shop.tell(fact) == "applied"

    async def renewed(self, number: int = 1) -> None:
        start_ms = (await self.shop.one(Subscription)).paid_until_ms
        fact = PeriodPaid(
            **self.shop.at(),
            payment_ref=f"pi_renewal_{number}",
            currency="usd",
            amount_minor=PRICE,
            period_start_ms=start_ms,
            period_end_ms=periods.end_of(start_ms, "month"),
        )
        assert await self.shop.tell(fact) == "applied"

    async def alerts(self) -> list[str]:
        return sorted(row.threshold for row in await self.shop.rows(Alert, kind="payment"))

    async def refund(self, order: PlacedOrder, **asked: object) -> None:
        wanted = Refund.model_validate({"note": "sorry", **asked})
        operator = self.shop.caller("operator", "")
        await refunds.refund(self.shop.plane, self.shop.providers, operator, order.order_id, wanted)


@pytest_asyncio.fixture
async def till(place: Place, world: World) -> Till:
    shop = await Shop.open(place, world)
    collector = Collector()
    shop.providers._known = {**shop.providers._known, "stripe": collector}
    return Till(shop, collector)


async def test_a_full_refund_ends_the_collecting_once_the_provider_can_be_told(till: Till) -> None:
    order = await till.bought()
    await till.returned(f"pi_{order.order_id}", PRICE // 2)
    await till.shop.settle()
    assert till.collector.stopped == []

    till.collector.says = [port.Unavailable("away"), port.Refused("not now")]
    await till.returned(f"pi_{order.order_id}")
    row = await till.shop.one(Subscription)
    assert (row.status, (await till.shop.bought())["instances"]) == ("ended", ["ended"])
    for after_ms in (0, 30_000, 30_000, 120_000, DAY_MS):
        await till.shop.settle(after_ms)

    assert till.collector.stopped == [("sub_1", False)] * 3
    assert (await till.shop.one(Subscription)).stop_due_at_ms == 0
    assert [e.action for e in await till.shop.world.audited(row.subscription_id)][
        -1
    ] == "subscription.stopped"


async def test_a_provider_that_never_listens_is_given_up_and_told_until_money_comes_again(till: Till) -> None:
    order = await till.bought()
    till.collector.says = [port.Refused("no")] * MAX_ASKS
    await till.returned(f"pi_{order.order_id}")
    for _ in range(MAX_ASKS + 5):
        await till.shop.settle(3_600_000)
    assert len(till.collector.stopped) == MAX_ASKS
    assert await till.alerts() == ["not_stopped"]

    await till.renewed()
    await till.shop.settle()
    assert len(till.collector.stopped) == MAX_ASKS + 1


async def test_what_is_refunded_before_it_was_provisioned_is_not_collected_either(till: Till) -> None:
    order = await till.shop.order()
    await till.shop.tell(till.shop.paid(order))
    await till.returned(f"pi_{order.order_id}")
    await till.shop.provision()
    await till.shop.settle()

    assert till.collector.stopped == [("sub_1", False)]
    assert (await till.shop.one(Subscription)).status == "ended"
    assert await till.shop.credits() == 0


async def test_buyers_reach_the_provider_although_it_has_ended_here(till: Till) -> None:
    order = await till.bought()
    await till.returned(f"pi_{order.order_id}")
    row = await till.shop.one(Subscription)
    caller, shop = till.shop.caller(), till.shop
    await buyers.cancel(shop.plane, shop.providers, caller, row.subscription_id, at_period_end=True)

    assert till.collector.stopped == [("sub_1", False)]
    await till.shop.settle(DAY_MS)
    assert len(till.collector.stopped) == 1, "it is not asked again"


async def test_a_provider_that_says_it_goes_on_is_asked_again(till: Till) -> None:
    order = await till.bought()
    await till.returned(f"pi_{order.order_id}")
    await till.shop.settle()
    await till.shop.tell(SubscriptionIs(**till.shop.at(), status="active", ends_at_ms=0))
    await till.shop.settle()
    assert len(till.collector.stopped) == 2
    assert (await till.shop.one(Subscription)).status == "ended"


async def test_a_renewal_of_what_has_ended_is_told_and_returned(till: Till) -> None:
    order = await till.bought()
    await till.returned(f"pi_{order.order_id}")
    await till.renewed()

    (paid,) = await till.shop.rows(Payment, surplus=True)
    assert (await till.alerts(), await till.shop.credits()) == (["surplus"], 0)
    await till.refund(order, payment_id=paid.payment_id)
    assert till.collector.returned == [("pi_renewal_1", PRICE, f"refund/{paid.payment_id}/{PRICE}")]
    await till.returned("pi_renewal_1")
    assert (await till.shop.one(Payment, surplus=True)).status == "refunded"


@pytest.mark.parametrize("which", ["first", "second"])
async def test_who_paid_twice_is_given_either_back_and_keeps_what_was_bought(till: Till, which: str) -> None:
    order = await till.bought()
    await till.shop.tell(till.shop.paid(order, payment_ref="second"))
    assert await till.alerts() == ["surplus"]
    with pytest.raises(Conflict, match="more than once"):
        await till.refund(order)

    await till.returned("second" if which == "second" else f"pi_{order.order_id}")
    await till.shop.settle()
    assert await till.shop.credits() == MONTHLY + ONCE
    assert ((await till.shop.bought())["instances"], till.collector.stopped) == (["active"], [])

    await till.returned(f"pi_{order.order_id}" if which == "second" else "second")
    await till.shop.settle()
    assert await till.shop.credits() == 0
    assert ((await till.shop.bought())["instances"], len(till.collector.stopped)) == (["ended"], 1)


async def test_what_a_second_payment_began_at_a_provider_is_stopped_there(till: Till) -> None:
    order, shop = await till.shop.order(provider="manual"), till.shop
    async with shop.world.database.writing() as session:
        operator = shop.caller("operator", "")
        await service.mark_paid(session, operator, order.order_id, "seen", shop.world.clock())
    await shop.provision()
    for _ in range(2):
        assert await shop.tell(shop.paid(order)) == "applied"
    await shop.settle()

    assert (await till.alerts(), till.collector.stopped) == (["surplus"], [("sub_1", False)])
    assert (await shop.bought())["instances"] == ["active"]
    assert sorted(row.status for row in await shop.rows(Subscription)) == ["active", "ended"]


async def test_who_ends_an_instance_is_told_whether_its_provider_has_heard_of_it(till: Till) -> None:
    await till.bought()
    row, shop = await till.shop.one(Subscription), till.shop
    till.collector.says = [port.Unavailable("away")]
    ended = await ending.end(shop.plane, shop.providers, shop.caller(), row.instance_id)
    assert (ended.subscription_id, ended.provider_told) == (row.subscription_id, False)
    assert ((await shop.bought())["instances"], await till.alerts()) == (["ended"], [])

    await shop.settle(60_000)
    again = await ending.end(shop.plane, shop.providers, shop.caller(), row.instance_id)
    assert (again.provider_told, till.collector.stopped) == (True, [("sub_1", False)] * 2)


async def test_a_cancellation_names_who_asked_and_what_the_provider_said(till: Till) -> None:
    await till.bought()
    row, shop = await till.shop.one(Subscription), till.shop
    till.collector.says = [port.Refused("not now")]
    with pytest.raises(Conflict, match="not now"):
        await buyers.cancel(
            shop.plane, shop.providers, shop.caller(), row.subscription_id, at_period_end=True
        )
    entries = await shop.world.audited(row.subscription_id)
    assert [(e.action, e.actor) for e in entries] == [
        ("subscription.cancel", "ada@example.com"),
        ("subscription.cancel_refused", "ada@example.com"),
    ]


async def test_a_refund_is_audited_with_what_became_of_it(till: Till) -> None:
    order = await till.bought()
    till.collector.says = [port.Refused("no balance")]
    with pytest.raises(Conflict, match="no balance"):
        await till.refund(order)
    await till.refund(order)

    entries = [e for e in await till.shop.world.audited(order.order_id) if "refund" in e.action]
    asked = ["order.refund_asked", "order.refund_refused", "order.refund_asked", "order.refund"]
    assert sorted(e.action for e in entries) == sorted(asked)
    assert {e.actor for e in entries} == {"ada@example.com"}


async def test_a_shop_that_returns_its_money_itself_is_named_and_nothing_is_noted(till: Till) -> None:
    order = await till.shop.order()
    await till.shop.tell_all([till.shop.paid(order, provider="saleor", subscription_ref="")])
    with pytest.raises(Conflict, match="saleor returns its money itself"):
        await till.refund(order)
    assert not [e for e in await till.shop.world.audited(order.order_id) if "refund" in e.action]
