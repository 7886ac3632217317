"""Credits that are bought by themselves: once, in time, within bounds, and not against the bank's word."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from control_places import Place
from control_world import World
from orders_rig import DAY_MS, PACK, PACK_PRICE, Crash, Shop

from console_api.control.errors import PreconditionFailed
from console_api.database.tables import Order, Payment
from console_api.payments import port
from console_api.payments.dummy import OfflineProvider
from console_api.payments.port import Charged, Purchase
from console_api.topup import service
from console_api.topup.buyer import MAX_DECLINES, TopUps
from console_api.topup.models import TopUpTerms, TopUpView
from kit.problems import Forbidden, InvalidRequest
from kit.settings import PaymentsSettings

TERMS: dict[str, Any] = {
    "enabled": True,
    "threshold_micro": 5_000_000,
    "plan": "pack",
    "currency": "usd",
    "provider": "dummy",
    "ceiling_minor": 3 * PACK_PRICE,
    "cool_off_s": 600,
}


@dataclass
class Bank(OfflineProvider):
    """A provider whose bank answers as a test says. What was asked under a name before is answered alike."""

    name: str = "dummy"
    says: list[Charged | Exception] = field(default_factory=list)
    asked: list[Purchase] = field(default_factory=list)
    answered: dict[str, Charged] = field(default_factory=dict)

    async def charge(self, purchase: Purchase) -> Charged:
        self.asked.append(purchase)
        if purchase.order_id in self.answered:
            return self.answered[purchase.order_id]
        said = (
            self.says.pop(0)
            if self.says
            else Charged(payment_ref=f"pi_{len(self.asked)}", status="succeeded")
        )
        if isinstance(said, Exception):
            raise said
        return self.answered.setdefault(purchase.order_id, said)


@dataclass
class Wallets:
    shop: Shop
    bank: Bank
    available: int = 0

    async def of(self, org_id: str) -> int:
        return self.available

    async def turn(self, after_s: int = 0) -> int:
        self.shop.world.clock.at_ms += after_s * 1_000
        buyer = TopUps(self.shop.plane, self.shop.providers, PaymentsSettings(), self.of)
        bought = await buyer.turn()
        await self.shop.provision()
        return bought

    async def put(self, expected: int = 0, **fields: Any) -> TopUpView:
        async with self.shop.world.database.writing() as session:
            return await service.write(
                session,
                self.shop.caller(),
                self.shop.providers,
                TopUpTerms(**{**TERMS, **fields}),
                expected,
                now_ms=self.shop.world.clock(),
            )

    async def view(self) -> TopUpView:
        async with self.shop.world.database.reading() as session:
            return await service.read(session, self.shop.caller(), self.shop.world.clock())


@pytest_asyncio.fixture
async def wallets(place: Place, world: World) -> Wallets:
    shop = await Shop.open(place, world)
    bank = Bank()
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
