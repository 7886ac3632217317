"""Credits that are bought by themselves: once, in time, within bounds, and not against the bank's word."""

from __future__ import annotations

import pytest
import pytest_asyncio
from control_places import Place
from control_world import World
from orders_rig import DAY_MS, PACK, PACK_PRICE, Crash, Shop
from topup_rig import TERMS, Bank, Wallets

from console_api.control.errors import PreconditionFailed
from console_api.database.tables import Alert, Order, Payment, TopUp
from console_api.payments import port
from console_api.payments.port import Charged, MoneyReturned, OrderAbandoned, OrderPaid
from console_api.topup import service
from console_api.topup.buyer import MAX_DECLINES
from console_api.topup.models import TopUpTerms
from kit.problems import Forbidden, InvalidRequest


@pytest_asyncio.fixture
async def wallets(place: Place, world: World) -> Wallets:
    shop = await Shop.open(place, world)
    bank = Bank(world.clock)
    shop.providers._known = {**shop.providers._known, "dummy": bank}
    return Wallets(shop, bank)


async def test_a_low_wallet_is_filled_once_and_then_rests(wallets: Wallets) -> None:
    await wallets.put()
    wallets.available = 5_000_000
    assert await wallets.turn() == 0
    wallets.available -= 1
    assert await wallets.turn() == 1
    # The credits take a moment to arrive; until then nothing more is bought, nor before the cool-off is over.
    assert [await wallets.turn() for _ in range(3)] == [0, 0, 0]
    assert await wallets.turn(after_s=599) == 0
    assert await wallets.shop.credits() == PACK
    assert await wallets.turn(after_s=2) == 1
    assert (await wallets.view()).spent_this_month_minor == 2 * PACK_PRICE


async def test_the_ceiling_holds_for_the_month(wallets: Wallets) -> None:
    await wallets.put()
    bought = [await wallets.turn(after_s=601) for _ in range(5)]
    assert bought == [1, 1, 1, 0, 0]
    assert "ceiling" in (await wallets.view()).error
    assert await wallets.turn(after_s=40 * DAY_MS // 1_000) == 1


async def test_a_declined_card_is_tried_later_and_then_not_any_more(wallets: Wallets) -> None:
    await wallets.put()
    wallets.bank.says = [Charged(payment_ref="", status="declined", reason="Your card has expired.")] * 9
    assert await wallets.turn() == 0
    assert (await wallets.turn(), len(wallets.bank.asked)) == (0, 1)
    for number in range(1, MAX_DECLINES):
        await wallets.turn(after_s=(600 << (number - 1)) - 1)
        assert len(wallets.bank.asked) == number
        await wallets.turn(after_s=1)
        assert len(wallets.bank.asked) == number + 1
    view = await wallets.view()
    assert (view.enabled, view.declines) == (False, MAX_DECLINES)
    assert "card has expired" in view.error
    assert await wallets.turn(after_s=30 * DAY_MS // 1_000) == 0
    assert {order.status for order in await wallets.shop.rows(Order)} == {"cancelled"}
    assert await wallets.shop.credits() == 0

    wallets.bank.says = []
    await wallets.put(expected=view.version)
    assert await wallets.turn() == 1


async def test_a_provider_that_is_away_is_asked_again_under_the_same_name(wallets: Wallets) -> None:
    await wallets.put()
    wallets.bank.says = [port.Unavailable("away")]
    assert await wallets.turn() == 0
    assert await wallets.turn(after_s=61) == 1
    first, second = wallets.bank.asked
    assert first.order_id == second.order_id
    assert len(await wallets.shop.rows(Order)) == 1


@pytest.mark.parametrize("at_commit", range(1, 7))
async def test_a_crash_at_any_moment_charges_once(wallets: Wallets, at_commit: int) -> None:
    await wallets.put()
    with wallets.shop.dying(at_commit):
        for _ in range(2):
            try:
                await wallets.turn()
            except Crash:
                continue
    await wallets.turn(after_s=100)
    await wallets.turn(after_s=100)

    assert len({purchase.order_id for purchase in wallets.bank.asked}) == 1
    assert len(await wallets.shop.rows(Payment)) == 1
    assert await wallets.shop.credits() == PACK


async def test_terms_that_make_no_sense_are_refused(wallets: Wallets) -> None:
    with pytest.raises(InvalidRequest, match="no pack"):
        await wallets.put(plan="pro")
    with pytest.raises(InvalidRequest, match="no price"):
        await wallets.put(currency="eur")
    with pytest.raises(InvalidRequest, match="payments"):
        await wallets.put(provider="nobody")
    await wallets.put()
    with pytest.raises(PreconditionFailed):
        await wallets.put(expected=7)
    with pytest.raises(Forbidden):
        async with wallets.shop.world.database.writing() as session:
            await service.write(
                session,
                wallets.shop.caller("member"),
                wallets.shop.providers,
                TopUpTerms(**TERMS),
                1,
                now_ms=0,
            )


def _slow(number: int) -> Charged:
    return Charged(payment_ref=f"pi_slow_{number}", status="pending")


async def _latest(wallets: Wallets) -> Order:
    return max(await wallets.shop.rows(Order), key=lambda order: int(order.idempotency_key.split("/")[-1]))


async def test_a_slow_payment_is_waited_for_and_not_asked_for_again(wallets: Wallets) -> None:
    await wallets.put()
    wallets.bank.says = [_slow(1)]
    for _ in range(30):
        assert await wallets.turn(after_s=6 * 3_600) == 0
    order = await _latest(wallets)
    assert (wallets.bank.charges, len(wallets.bank.asked)) == (["pi_slow_1"], 1)
    assert order.order_id in (await wallets.view()).error

    paid = OrderPaid(
        provider="dummy",
        order_id=order.order_id,
        payment_ref="pi_slow_1",
        currency="usd",
        amount_minor=PACK_PRICE,
        at_ms=wallets.shop.world.clock(),
    )
    assert await wallets.shop.tell(paid) == "applied"
    await wallets.shop.provision()
    assert await wallets.turn() == 1
    assert ((await wallets.view()).error, await wallets.shop.credits()) == ("", 2 * PACK)


async def test_a_slow_payment_that_fails_is_a_decline_and_tried_later_each_time(wallets: Wallets) -> None:
    await wallets.put()
    wallets.bank.says = [_slow(number) for number in range(9)]
    for number in range(1, MAX_DECLINES + 1):
        await wallets.turn()
        assert len(wallets.bank.asked) == number
        order = await _latest(wallets)
        gone = OrderAbandoned(
            provider="dummy", order_id=order.order_id, reason="No funds.", at_ms=wallets.shop.world.clock()
        )
        assert await wallets.shop.tell(gone) == "applied"
        await wallets.turn(after_s=600)
        assert [await wallets.turn() for _ in range(2)] == [0, 0]
        assert (await wallets.view()).declines == number
        await wallets.turn(after_s=(600 << (number - 1)) - 1)
        assert len(wallets.bank.asked) == number
        wallets.shop.world.clock.at_ms += 1_000

    view = await wallets.view()
    assert (view.enabled, "No funds." in view.error) == (False, True)


async def test_what_has_no_answer_for_a_day_is_not_asked_for_under_a_forgotten_name(wallets: Wallets) -> None:
    await wallets.put()
    wallets.bank.forgets_to_say = True
    await wallets.turn()
    wallets.bank.forgets_to_say = False
    await wallets.turn(after_s=25 * 3_600)
    assert len(wallets.bank.charges) == 1
    assert (await wallets.view()).declines == 1


async def test_what_was_disputed_stays_spent_and_switches_it_off(wallets: Wallets) -> None:
    await wallets.put()
    assert await wallets.turn() == 1
    fact = MoneyReturned(
        provider="dummy",
        payment_ref=wallets.bank.charges[0],
        returned_minor=PACK_PRICE,
        reason="dispute",
        at_ms=wallets.shop.world.clock(),
    )
    assert await wallets.shop.tell(fact) == "applied"
    view = await wallets.view()
    assert (view.enabled, view.spent_this_month_minor) == (False, PACK_PRICE)
    assert "disputed" in view.error
    assert await wallets.turn(after_s=3_600) == 0
    assert [row.threshold for row in await wallets.shop.rows(Alert)] == ["topup_disputed"]

    await wallets.put(expected=view.version)
    await wallets.shop.tell(fact)
    assert (await wallets.shop.one(TopUp)).enabled, "the same word again does not switch it off again"


async def test_what_an_operator_returned_stays_spent(wallets: Wallets) -> None:
    await wallets.put(ceiling_minor=PACK_PRICE)
    assert await wallets.turn() == 1
    fact = MoneyReturned(
        provider="dummy",
        payment_ref=wallets.bank.charges[0],
        returned_minor=PACK_PRICE,
        reason="refund",
        at_ms=wallets.shop.world.clock(),
    )
    await wallets.shop.tell(fact)
    assert await wallets.turn(after_s=3_600) == 0
    assert "ceiling" in (await wallets.view()).error
